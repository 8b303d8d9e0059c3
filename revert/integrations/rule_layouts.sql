-- Revert topicbase:integrations/rule_layouts from pg
BEGIN;
DROP FUNCTION mqtt.layout_reason(text, jsonb);
DROP FUNCTION mqtt.records_reason(jsonb);
DROP FUNCTION mqtt.field_reason(jsonb);
DROP FUNCTION mqtt.value_reason(jsonb);
DROP FUNCTION mqtt.protobuf_layout_reason(jsonb);
DROP FUNCTION mqtt.protobuf_layout(jsonb);
COMMIT;

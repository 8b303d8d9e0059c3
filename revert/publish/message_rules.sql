-- Revert topicbase:publish/message_rules from pg
BEGIN;
DROP FUNCTION mqtt.outbound_document(jsonb);
DROP FUNCTION mqtt.outbound_bytes(jsonb, bytea);
DROP FUNCTION mqtt.outbound_body(jsonb, text);
DROP FUNCTION mqtt.publish_reason(jsonb);
DROP FUNCTION mqtt.payload_reason(jsonb, jsonb);
COMMIT;

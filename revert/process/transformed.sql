-- Revert topicbase:process/transformed from pg
BEGIN;
DROP FUNCTION mqtt.transformed(mqtt.rule_message []);
DROP FUNCTION mqtt.transforms_made(mqtt.rule_message []);
DROP FUNCTION mqtt.transforms_due(mqtt.rule_message []);
DROP FUNCTION mqtt.transform_results(text [], text []);
DROP FUNCTION mqtt.document_reason(text, mqtt.decoded_payload);
DROP FUNCTION mqtt.decoded_for(text, jsonb, jsonb, bytea, timestamptz);
COMMIT;

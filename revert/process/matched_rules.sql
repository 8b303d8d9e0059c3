-- Revert topicbase:process/matched_rules from pg
BEGIN;
DROP FUNCTION mqtt.matched_rules(mqtt.rule_message []);
DROP FUNCTION mqtt.is_fulfilled(jsonpath, text, jsonb, jsonb, bytea);
DROP FUNCTION mqtt.payload_for(text, jsonb, jsonb);
DROP FUNCTION mqtt.is_document(text, jsonb, bytea);
COMMIT;

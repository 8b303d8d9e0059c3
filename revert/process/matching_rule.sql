-- Revert topicbase:process/matching_rule from pg
BEGIN;
DROP FUNCTION mqtt.interpretations(mqtt.payload_rules, text, jsonb, bytea, uuid, text, timestamptz);
DROP FUNCTION mqtt.matching_rule(uuid, text, jsonb, bytea);
COMMIT;

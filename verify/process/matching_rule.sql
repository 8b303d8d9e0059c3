-- Verify topicbase:process/matching_rule on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.interpretations(mqtt.payload_rules, text, jsonb, bytea, uuid, text, timestamptz)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.matching_rule(uuid, text, jsonb, bytea)', false, 's', '{}');
ROLLBACK;

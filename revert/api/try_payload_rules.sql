-- Revert topicbase:api/try_payload_rules from pg
BEGIN;
DROP FUNCTION api.try_payload_rules(uuid, text, jsonb, text, text, text);
DROP FUNCTION mqtt.tried_transform(mqtt.rule_message);
DROP FUNCTION mqtt.tried_sparkplug(mqtt.rule_message);
DROP FUNCTION mqtt.rules_considered(uuid, text, uuid);
COMMIT;

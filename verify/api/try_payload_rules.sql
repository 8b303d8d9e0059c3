-- Verify topicbase:api/try_payload_rules on pg
BEGIN;
SELECT mqtt.verify_function('api.try_payload_rules(uuid, text, jsonb, text, text, text)', true, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.rules_considered(uuid, text, uuid)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.tried_sparkplug(mqtt.rule_message)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.tried_transform(mqtt.rule_message)', false, 's', '{}');
ROLLBACK;

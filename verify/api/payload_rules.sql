-- Verify topicbase:api/payload_rules on pg
BEGIN;
SELECT mqtt.verify_table('api.payload_rules', '{SELECT}', '{SELECT}');
SELECT mqtt.verify_function('mqtt.rule_json(uuid)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function(
    'api.upsert_payload_rule(uuid, text, text, text, text, text, text [], jsonb, jsonb, text, text, integer, uuid, jsonb, integer, text)', false, 'v', '{authenticated,service_role}'
);
SELECT mqtt.verify_function('api.delete_payload_rule(uuid)', false, 'v', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.require_rule(uuid)', false, 's', '{authenticated,service_role}');
ROLLBACK;

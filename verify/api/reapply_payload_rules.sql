-- Verify topicbase:api/reapply_payload_rules on pg
BEGIN;
SELECT mqtt.verify_function('api.reapply_payload_rules(uuid, timestamptz, timestamptz, integer, text)', true, 'v', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.messages_between(uuid, timestamptz, bigint, timestamptz, integer)', false, 's', '{}');
ROLLBACK;

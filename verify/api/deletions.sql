-- Verify topicbase:api/deletions on pg
BEGIN;
SELECT mqtt.verify_function('api.list_deletions(uuid, integer)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('api.get_deletion(uuid)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.deletion_json(mqtt.deletions)', false, 'i', '{authenticated,service_role}');
ROLLBACK;

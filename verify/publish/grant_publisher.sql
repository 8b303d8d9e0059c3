-- Verify topicbase:publish/grant_publisher on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.set_publisher_privileges(name, boolean)', false, 'v', '{}');
SELECT mqtt.verify_function('mqtt.grant_publisher(name, uuid)', false, 'v', '{}');
SELECT mqtt.verify_function('mqtt.revoke_publisher(name, uuid)', false, 'v', '{}');
ROLLBACK;

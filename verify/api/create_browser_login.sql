-- Verify topicbase:api/create_browser_login on pg
BEGIN;
SELECT mqtt.verify_function('api.create_browser_login(uuid, text [], interval, uuid)', true, 'v', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.require_member(uuid)', false, 'v', '{}');
SELECT mqtt.verify_function('mqtt.end_browser_logins(uuid, uuid, integer)', false, 'v', '{}');
ROLLBACK;

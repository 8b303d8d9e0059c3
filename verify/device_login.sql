-- Verify topicbase:device_login on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.device_login()', true, 's', '{}');
ROLLBACK;

-- Verify topicbase:ingest/device_login on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.basic_login(jsonb)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.request_session()', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.device_login()', true, 's', '{}');
SELECT mqtt.verify_function('mqtt.refuse_login(text, text)', false, 's', '{}');
ROLLBACK;

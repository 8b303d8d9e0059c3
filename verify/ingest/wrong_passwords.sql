-- Verify topicbase:ingest/wrong_passwords on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.count_wrong_password(text)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.answer_wrong_login(mqtt.device_session)', true, 'v', '{}');
ROLLBACK;

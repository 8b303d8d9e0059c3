-- Verify topicbase:wrong_passwords on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.wrong_passwords', '{}', '{}');
SELECT mqtt.verify_function('mqtt.count_wrong_password(text)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.answer_wrong_login(mqtt.device_session)', true, 'v', '{}');
SELECT max_wrong_passwords FROM mqtt.configuration WHERE false;
ROLLBACK;

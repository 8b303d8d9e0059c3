-- Revert topicbase:wrong_passwords from pg
BEGIN;
DROP FUNCTION mqtt.answer_wrong_login(mqtt.device_session);
DROP FUNCTION mqtt.count_wrong_password(text);
DROP TABLE mqtt.wrong_passwords;
ALTER TABLE mqtt.configuration DROP COLUMN max_wrong_passwords;
COMMIT;

-- Revert topicbase:ingest/wrong_passwords from pg
BEGIN;
DROP FUNCTION mqtt.answer_wrong_login(mqtt.device_session);
DROP FUNCTION mqtt.count_wrong_password(text);
COMMIT;

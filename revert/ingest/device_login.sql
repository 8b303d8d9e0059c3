-- Revert topicbase:ingest/device_login from pg
BEGIN;
DROP FUNCTION mqtt.device_login();
DROP FUNCTION mqtt.request_session();
DROP FUNCTION mqtt.basic_login(jsonb);
DROP FUNCTION mqtt.refuse_login(text, text);
COMMIT;

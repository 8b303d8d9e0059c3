-- Revert topicbase:device_login from pg
BEGIN;
DROP FUNCTION mqtt.device_login();
DROP TYPE mqtt.device_session;
COMMIT;

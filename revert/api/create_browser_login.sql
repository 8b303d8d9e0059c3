-- Revert topicbase:api/create_browser_login from pg
BEGIN;
DROP FUNCTION api.create_browser_login(uuid, text [], interval, uuid);
DROP FUNCTION mqtt.require_member(uuid);
DROP FUNCTION mqtt.end_browser_logins(uuid, uuid, integer);
COMMIT;

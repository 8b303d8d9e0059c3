-- Revert topicbase:api/get_system_status from pg
BEGIN;
DROP FUNCTION api.get_system_status();
DROP FUNCTION mqtt.system_status();
COMMIT;

-- Revert topicbase:base/api_version from pg
BEGIN;
DROP FUNCTION mqtt.api_version();
COMMIT;

-- Revert topicbase:base/error_catalogue from pg
BEGIN;
DROP FUNCTION mqtt.error_catalogue();
COMMIT;

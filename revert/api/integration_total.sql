-- Revert topicbase:api/integration_total from pg
BEGIN;
DROP FUNCTION mqtt.require_integration_total(uuid);
COMMIT;

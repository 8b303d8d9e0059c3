-- Revert topicbase:api/get_organization_usage from pg
BEGIN;
DROP FUNCTION api.get_organization_usage(timestamptz, timestamptz);
DROP FUNCTION mqtt.stored_usage(timestamptz, timestamptz);
COMMIT;

-- Revert topicbase:process/due_organizations from pg
BEGIN;
DROP FUNCTION mqtt.wait_for_organization(uuid, timestamptz, timestamptz);
DROP FUNCTION mqtt.lock_organizations(jsonb, uuid, timestamptz, integer, integer, integer, uuid []);
DROP FUNCTION mqtt.newest_in_queue(jsonb, bigint, timestamptz, interval, integer);
DROP FUNCTION mqtt.sweep_queue(uuid, timestamptz, integer);
COMMIT;

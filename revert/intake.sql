-- Revert topicbase:intake from pg
BEGIN;
DROP FUNCTION api.set_organization_limits(uuid, numeric, integer, bigint, integer, integer, integer, integer);
DROP FUNCTION mqtt.check_intake();
DROP FUNCTION mqtt.count_outbound(bigint);
DROP FUNCTION mqtt.free_disk_bytes();
COMMIT;

-- Revert topicbase:maintenance/check_capacity from pg
BEGIN;
DROP FUNCTION mqtt.check_capacity();
DROP FUNCTION mqtt.check_organization_publishing(bigint, uuid []);
DROP FUNCTION mqtt.check_organization_queues(bigint, uuid []);
DROP FUNCTION mqtt.organization_depths(bigint, uuid []);
DROP FUNCTION mqtt.largest_writers();
DROP FUNCTION mqtt.count_outbound(bigint);
DROP FUNCTION mqtt.free_disk_bytes();
COMMIT;

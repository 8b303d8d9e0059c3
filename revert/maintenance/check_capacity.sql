-- Revert topicbase:maintenance/check_capacity from pg
BEGIN;
DROP FUNCTION mqtt.check_capacity();
DROP FUNCTION mqtt.check_organization_queues();
DROP FUNCTION mqtt.count_outbound(bigint);
DROP FUNCTION mqtt.free_disk_bytes();
COMMIT;

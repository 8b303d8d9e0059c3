-- Revert topicbase:maintenance/ingest_limits from pg
BEGIN;
DROP FUNCTION mqtt.check_intake();
DROP FUNCTION mqtt.check_organizations_intake();
DROP FUNCTION mqtt.count_outbound(bigint);
DROP FUNCTION mqtt.free_disk_bytes();
COMMIT;

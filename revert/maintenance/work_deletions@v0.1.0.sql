-- Revert topicbase:maintenance/work_deletions from pg
BEGIN;
DROP FUNCTION mqtt.work_deletions(integer);
DROP FUNCTION mqtt.try_deletion(mqtt.deletions, integer);
DROP FUNCTION mqtt.work_deletion(mqtt.deletions, integer);
DROP FUNCTION mqtt.finish_organization(uuid);
DROP FUNCTION mqtt.refresh_devices(mqtt.deletions, integer);
DROP FUNCTION mqtt.delete_orphaned_rollups(mqtt.deletions, integer);
COMMIT;

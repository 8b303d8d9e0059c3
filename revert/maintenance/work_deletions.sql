-- Revert topicbase:maintenance/work_deletions from pg
BEGIN;
DROP FUNCTION mqtt.work_deletions(integer);
DROP FUNCTION mqtt.work_deletion(mqtt.deletions, integer);
DROP FUNCTION mqtt.finish_organization(uuid);
DROP FUNCTION mqtt.refresh_devices(mqtt.deletions, integer);
DROP FUNCTION mqtt.delete_orphaned_rollups(mqtt.deletions, integer);
DROP FUNCTION mqtt.delete_in_places(mqtt.deletions, integer);
DROP FUNCTION mqtt.delete_of_leaf(mqtt.deletions, regclass, regclass, integer);
DROP FUNCTION mqtt.deleted_rows(mqtt.deletions);
DROP FUNCTION mqtt.deletion_places(text);
DROP FUNCTION mqtt.organization_tables();
COMMIT;

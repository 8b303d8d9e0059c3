-- Revert topicbase:maintenance/deletion_places from pg
BEGIN;
DROP FUNCTION mqtt.delete_in_places(mqtt.deletions, integer);
DROP FUNCTION mqtt.delete_of_leaf(mqtt.deletions, regclass, regclass, integer);
DROP FUNCTION mqtt.deleted_rows(mqtt.deletions);
DROP FUNCTION mqtt.deletion_places(text);
DROP FUNCTION mqtt.organization_tables();
COMMIT;

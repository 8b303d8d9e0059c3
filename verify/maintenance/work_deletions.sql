-- Verify topicbase:maintenance/work_deletions on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.organization_tables()', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.deletion_places(text)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.deleted_rows(mqtt.deletions)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.delete_of_leaf(mqtt.deletions, regclass, regclass, integer)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.delete_in_places(mqtt.deletions, integer)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.delete_orphaned_rollups(mqtt.deletions, integer)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.refresh_devices(mqtt.deletions, integer)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.finish_organization(uuid)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.work_deletion(mqtt.deletions, integer)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.work_deletions(integer)', true, 'v', '{}');
ROLLBACK;

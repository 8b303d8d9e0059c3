-- Verify topicbase:maintenance/work_deletions on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.delete_orphaned_rollups(mqtt.deletions, integer)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.refresh_devices(mqtt.deletions, integer)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.finish_organization(uuid)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.work_deletion(mqtt.deletions, integer)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.try_deletion(mqtt.deletions, integer)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.work_deletions(integer)', true, 'v', '{}');
ROLLBACK;

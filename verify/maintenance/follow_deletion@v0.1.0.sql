-- Verify topicbase:maintenance/follow_deletion on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.delete_traces(uuid, mqtt.deleted_row [])', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.remake_rollups(mqtt.deletions, mqtt.deleted_row [])', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.delete_rollups_within(mqtt.deletions, uuid, integer)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.may_be_deleted(mqtt.deletions, timestamptz)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.recent_readings(mqtt.devices, integer)', true, 's', '{}');
SELECT mqtt.verify_function('mqtt.has_measured(mqtt.devices, timestamptz, text, jsonb)', true, 's', '{}');
SELECT mqtt.verify_function('mqtt.refresh_latest(mqtt.deletions, uuid)', true, 'v', '{}');
ROLLBACK;

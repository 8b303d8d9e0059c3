-- Verify topicbase:deferred_updates on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.deferred_device_updates', '{}', '{}');
SELECT mqtt.verify_table('mqtt.deferred_credential_updates', '{}', '{}');
SELECT mqtt.verify_table('mqtt.deferred_device_ids', '{}', '{}');
SELECT mqtt.verify_function('mqtt.apply_deferred_updates(timestamptz)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.apply_due_updates()', true, 'v', '{}');
ROLLBACK;

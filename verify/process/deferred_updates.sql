-- Verify topicbase:process/deferred_updates on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.apply_deferred_updates(timestamptz)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.take_deferred_devices(timestamptz)', false, 'v', '{}');
SELECT mqtt.verify_function('mqtt.apply_deferred_devices(timestamptz)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.apply_deferred_credentials(timestamptz)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.apply_due_updates()', true, 'v', '{}');
ROLLBACK;

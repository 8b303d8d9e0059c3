-- Verify topicbase:tables/deferred_updates on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.deferred_device_updates', '{}', '{}');
SELECT mqtt.verify_table('mqtt.deferred_credential_updates', '{}', '{}');
SELECT mqtt.verify_table('mqtt.deferred_device_ids', '{}', '{}');
ROLLBACK;

-- Revert topicbase:deferred_updates from pg
BEGIN;
DROP FUNCTION mqtt.apply_due_updates();
DROP FUNCTION mqtt.apply_deferred_updates(timestamptz);
DROP TABLE mqtt.deferred_device_ids;
DROP TABLE mqtt.deferred_credential_updates;
DROP TABLE mqtt.deferred_device_updates;
COMMIT;

-- Revert topicbase:process/deferred_updates from pg
BEGIN;
DROP FUNCTION mqtt.apply_due_updates();
DROP FUNCTION mqtt.apply_deferred_updates(timestamptz);
DROP FUNCTION mqtt.apply_deferred_credentials(timestamptz);
DROP FUNCTION mqtt.apply_deferred_devices(timestamptz);
DROP FUNCTION mqtt.take_deferred_devices(timestamptz);
COMMIT;

-- Revert topicbase:tables/deferred_updates from pg
BEGIN;
DROP TABLE mqtt.deferred_device_ids;
DROP TABLE mqtt.deferred_credential_updates;
DROP TABLE mqtt.deferred_device_updates;
COMMIT;

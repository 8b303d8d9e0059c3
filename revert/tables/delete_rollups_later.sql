-- Revert topicbase:tables/delete_rollups_later from pg
BEGIN;
DROP TRIGGER delete_rollups_later ON mqtt.devices;
DROP FUNCTION mqtt.delete_rollups_later();
COMMIT;

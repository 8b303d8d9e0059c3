-- Revert topicbase:tables/devices from pg
BEGIN;
-- Loses the devices.
DROP TABLE mqtt.devices;
COMMIT;

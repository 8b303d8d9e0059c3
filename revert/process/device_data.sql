-- Revert topicbase:process/device_data from pg
BEGIN;
DROP FUNCTION mqtt.known_device(uuid, uuid, text);
DROP FUNCTION mqtt.plausible_time(timestamptz, timestamptz, interval, interval);
DROP FUNCTION mqtt.device_of_topic(text, text, smallint);
DROP FUNCTION mqtt.latest_data(jsonb, timestamptz, jsonb, timestamptz);
COMMIT;

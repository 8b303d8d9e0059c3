-- Revert topicbase:process/device_data from pg
BEGIN;
DROP FUNCTION mqtt.presence_once_seen(jsonb, timestamptz);
DROP FUNCTION mqtt.known_device(uuid, uuid, text);
DROP FUNCTION mqtt.plausible_time(timestamptz, timestamptz, interval, interval);
DROP FUNCTION mqtt.device_name(text);
DROP FUNCTION mqtt.is_news(uuid, uuid, text, text, boolean);
DROP FUNCTION mqtt.known_values(uuid, uuid, text);
DROP FUNCTION mqtt.has_data(uuid, uuid, text);
DROP FUNCTION mqtt.latest_data(jsonb, timestamptz, jsonb, timestamptz);
COMMIT;

-- Revert topicbase:process/device_data from pg
BEGIN;
DROP FUNCTION mqtt.presence_once_seen(jsonb, timestamptz);
DROP FUNCTION mqtt.known_device(uuid, uuid, text);
DROP FUNCTION mqtt.plausible_time(timestamptz, timestamptz, interval, interval);
DROP FUNCTION mqtt.device_name(text);
DROP FUNCTION mqtt.is_news(uuid, uuid, text, text, boolean, text);
DROP FUNCTION mqtt.has_reading(uuid, uuid, text, text);
DROP FUNCTION mqtt.newest_values(jsonb, timestamptz, jsonb, timestamptz);
DROP FUNCTION mqtt.merged_latest(jsonb, jsonb);
DROP FUNCTION mqtt.newest_metrics(jsonb);
DROP FUNCTION mqtt.is_covered(jsonb, text []);
DROP FUNCTION mqtt.object_or_none(jsonb);
DROP FUNCTION mqtt.payload_metrics(jsonb);
DROP FUNCTION mqtt.flat_payload(jsonb);
DROP FUNCTION mqtt.latest_data(jsonb, timestamptz, jsonb, timestamptz);
COMMIT;

-- Revert topicbase:tables/reading_parts from pg
BEGIN;
DROP FUNCTION mqtt.unordered_parts(mqtt.reading_span [], text [], interval, text);
DROP FUNCTION mqtt.reading_parts(mqtt.reading_span [], text [], interval, text);
DROP FUNCTION mqtt.span_readings(mqtt.reading_span [], timestamptz);
DROP FUNCTION mqtt.packed_span_readings(mqtt.reading_span [], timestamptz);
DROP FUNCTION mqtt.received_since(mqtt.reading_span []);
DROP FUNCTION mqtt.device_rolled_until(mqtt.rollup_progress, uuid);
DROP FUNCTION mqtt.counter_step(numeric, numeric);
DROP FUNCTION mqtt.bucket_start(timestamptz, interval, text);
DROP FUNCTION mqtt.bucket_shown(timestamptz, interval, text);
DROP FUNCTION mqtt.first_time(timestamp, text);
COMMIT;

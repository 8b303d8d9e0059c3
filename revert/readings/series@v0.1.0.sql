-- Revert topicbase:readings/series from pg
BEGIN;
DROP FUNCTION readings.series(text [], text [], timestamptz, timestamptz, interval, text);
DROP FUNCTION mqtt.reader_device_ids(text []);
COMMIT;

-- Revert topicbase:api/query_series from pg
BEGIN;
DROP FUNCTION api.query_series(text [], text [], timestamptz, timestamptz, interval, integer, text [], text, text, uuid, uuid);
DROP FUNCTION mqtt.series_points(mqtt.telemetry_request, interval, text, text [], text);
DROP FUNCTION mqtt.check_series(timestamptz, timestamptz, interval, integer, text, bigint);
DROP FUNCTION mqtt.refuse_points();
DROP FUNCTION mqtt.bucket_starts(timestamptz, timestamptz, interval, text);
DROP FUNCTION mqtt.nice_bucket(timestamptz, timestamptz, text, integer);
COMMIT;

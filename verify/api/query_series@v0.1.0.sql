-- Verify topicbase:api/query_series on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.nice_bucket(timestamptz, timestamptz, text, integer)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.bucket_starts(timestamptz, timestamptz, interval, text)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.refuse_points()', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.check_series(timestamptz, timestamptz, interval, integer, text, bigint)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.series_points(mqtt.telemetry_request, interval, text, text [], text)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('api.query_series(text [], text [], timestamptz, timestamptz, interval, integer, text [], text, text, uuid, uuid)', false, 's', '{authenticated,service_role}');
ROLLBACK;

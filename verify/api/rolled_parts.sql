-- Verify topicbase:api/rolled_parts on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.bucket_grain(interval, text, timestamptz, timestamptz)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.rolled_spans(mqtt.telemetry_request, interval)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.rolled_parts(mqtt.rolled_span [], mqtt.reading_span [], text [])', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.late_spans(mqtt.rolled_span [], boolean)', false, 's', '{authenticated,service_role}');
ROLLBACK;

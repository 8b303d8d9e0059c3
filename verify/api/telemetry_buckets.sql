-- Verify topicbase:api/telemetry_buckets on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.aggregate_sql(text)', false, 'i', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.percentile(text)', false, 'i', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.percentiles_sql(text [])', false, 'i', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.bucket_summaries_sql(text [], boolean)', false, 'i', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.telemetry_buckets(mqtt.telemetry_request, interval, text, text [], mqtt.message_cursor, integer)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.bucket_range(mqtt.telemetry_request, interval, text, mqtt.message_cursor, integer)', false, 's', '{authenticated,service_role}');
ROLLBACK;

-- Verify topicbase:api/query_telemetry on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.telemetry_metrics(jsonb, text [])', false, 'i', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.has_metric(jsonb, text [])', false, 'i', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.telemetry_by_measured(mqtt.telemetry_request)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.telemetry_by_received(mqtt.telemetry_request)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.telemetry(mqtt.telemetry_request)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.check_telemetry_range(integer, interval, text, text [])', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.check_aggregates(text [], text)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.bucket_start(timestamptz, interval, text)', false, 'i', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.aggregates_sql(text [])', false, 'i', '{authenticated,service_role}');
SELECT mqtt.verify_function(
    'mqtt.telemetry_buckets(mqtt.telemetry_request, interval, text, text [], mqtt.message_cursor, integer)', false, 's', '{authenticated,service_role}'
);
SELECT mqtt.verify_function(
    'mqtt.bucket_range(mqtt.telemetry_request, interval, text, mqtt.message_cursor, integer)', false, 's', '{authenticated,service_role}'
);
SELECT mqtt.verify_function('mqtt.find_devices(text [], text, text, uuid, uuid)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function(
    'api.query_telemetry(uuid, text, timestamptz, timestamptz, text [], interval, integer, text [], uuid, text, text [], text, text, text [], text)',
    false, 's', '{authenticated,service_role}'
);
ROLLBACK;

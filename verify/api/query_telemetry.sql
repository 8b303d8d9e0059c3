-- Verify topicbase:api/query_telemetry on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.has_metric(jsonb, text [])', false, 'i', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.telemetry_metrics(jsonb, text [])', false, 'i', '{authenticated,service_role}');
SELECT mqtt.verify_function(
    'mqtt.telemetry(uuid, uuid, uuid, timestamptz, timestamptz, text [], text [], integer)', false, 's', '{authenticated,service_role}'
);
SELECT mqtt.verify_function('mqtt.check_telemetry_range(integer, interval)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function(
    'mqtt.telemetry_buckets(uuid, uuid, uuid, timestamptz, timestamptz, text [], text [], interval, integer)', false, 's', '{authenticated,service_role}'
);
SELECT mqtt.verify_function(
    'api.query_telemetry(uuid, text, timestamptz, timestamptz, text [], interval, integer, text [], uuid, text)', false, 's', '{authenticated,service_role}'
);
ROLLBACK;

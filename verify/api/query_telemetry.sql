-- Verify topicbase:api/query_telemetry on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.has_metric(jsonb, text [])', false, 'i', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.telemetry_metrics(jsonb, text [])', false, 'i', '{authenticated,service_role}');
SELECT mqtt.verify_function(
    'mqtt.telemetry(uuid, uuid, uuid, timestamptz, timestamptz, text [], text [], integer)', false, 's', '{authenticated,service_role}'
);
SELECT mqtt.verify_function(
    'api.query_telemetry(uuid, text, timestamptz, timestamptz, text [], interval, integer, text [], uuid)', false, 's', '{authenticated,service_role}'
);
ROLLBACK;

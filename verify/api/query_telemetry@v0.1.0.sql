-- Verify topicbase:api/query_telemetry on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.check_telemetry_range(integer, interval, text, text [])', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.check_aggregates(text [], text)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.find_devices(text [], text, text, uuid, uuid)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function(
    'api.query_telemetry(uuid, text, timestamptz, timestamptz, text [], interval, integer, text [], uuid, text, text [], text, text, text [], text)',
    false, 's', '{authenticated,service_role}'
);
ROLLBACK;

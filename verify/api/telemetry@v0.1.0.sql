-- Verify topicbase:api/telemetry on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.telemetry_metrics(jsonb, text [])', false, 'i', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.telemetry_by_measured(mqtt.telemetry_request)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.telemetry_by_received(mqtt.telemetry_request)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.topics_of_devices(mqtt.telemetry_request)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.newest_since(mqtt.telemetry_request, integer)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.telemetry(mqtt.telemetry_request)', false, 's', '{authenticated,service_role}');
ROLLBACK;

-- Verify topicbase:api/telemetry_parts on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.telemetry_numbers(mqtt.telemetry_request)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.received_parts(mqtt.telemetry_request, interval, text)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.unrolled_parts(mqtt.rolled_span [], mqtt.reading_span [], text [], interval, text)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.telemetry_parts(mqtt.telemetry_request, interval, text, boolean)', false, 's', '{authenticated,service_role}');
ROLLBACK;

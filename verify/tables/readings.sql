-- Verify topicbase:tables/readings on pg
BEGIN;
SELECT organization_id, integration_id, device_id, message_id, message_type, role, received_at, measured_at, position, payload FROM mqtt.readings WHERE false;
SELECT mqtt.verify_function('mqtt.metric(jsonb, text)', false, 'i', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.has_metric(jsonb, text [])', false, 'i', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.is_named(text, text [])', false, 'i', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.metric_values(jsonb, text [])', false, 'i', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.metric_number(jsonb)', false, 'i', '{authenticated,service_role}');
ROLLBACK;

-- Verify topicbase:integrations/rule_layouts on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.protobuf_layout(jsonb)', true, 'v', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.protobuf_layout_reason(jsonb)', false, 'i', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.layout_reason(text, jsonb)', false, 'i', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.value_reason(jsonb)', false, 'i', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.field_reason(jsonb)', false, 'i', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.records_reason(jsonb)', false, 'i', '{authenticated,service_role}');
ROLLBACK;

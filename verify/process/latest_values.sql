-- Verify topicbase:process/latest_values on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.flat_payload(jsonb)', false, 'i', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.payload_metrics(jsonb)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.has_metrics(jsonb, jsonb)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.is_covered(jsonb, jsonb)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.metric_names(jsonb)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.has_only_metrics(jsonb, text [], jsonb)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.newest_metrics(jsonb)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.merged_latest(jsonb, jsonb)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.newest_values(jsonb, timestamptz, jsonb, timestamptz)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.data_values(jsonb, timestamptz)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.joined_values(jsonb, jsonb, timestamptz)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.latest_values(jsonb, jsonb, timestamptz, boolean)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.latest_of(mqtt.devices)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.device_document(mqtt.devices)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.is_data_latest(boolean, timestamptz, boolean, timestamptz, jsonb)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.told_latest(mqtt.devices, mqtt.device_news)', false, 's', '{}');
ROLLBACK;

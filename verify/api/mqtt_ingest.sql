-- Verify topicbase:api/mqtt_ingest on pg
BEGIN;
SELECT mqtt.verify_function(
    'api.mqtt_ingest(text, json, json, json, text, text, text, json, text, text, text, json, json)', true, 'v', '{anon,authenticated,service_role}'
);
SELECT mqtt.verify_function('api.mqtt_ingest(json)', true, 'v', '{anon,authenticated,service_role}');
SELECT mqtt.verify_function('api.mqtt_ingest(text)', true, 'v', '{anon,authenticated,service_role}');
SELECT mqtt.verify_function('api.mqtt_ingest(xml)', true, 'v', '{anon,authenticated,service_role}');
SELECT mqtt.verify_function('api.mqtt_ingest(bytea)', true, 'v', '{anon,authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.ingest_message(text, json, text, text, text, text, text, text, jsonb)', false, 'v', '{}');
SELECT mqtt.verify_function('mqtt.quick_document(text, text, text, text, text)', false, 's', '{}');
ROLLBACK;

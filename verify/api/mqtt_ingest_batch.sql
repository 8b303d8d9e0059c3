-- Verify topicbase:api/mqtt_ingest_batch on pg
BEGIN;
SELECT mqtt.verify_function('api.mqtt_ingest_batch(json)', true, 'v', '{anon,authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.require_batch(integer, integer)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.storable_messages(json, text [])', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.take_batch_quota(mqtt.device_session, integer)', false, 'v', '{}');
ROLLBACK;

-- Verify topicbase:api/mqtt_ingest_batch on pg
BEGIN;
SELECT mqtt.verify_function('api.mqtt_ingest_batch(json)', true, 'v', '{anon,authenticated,service_role}');
ROLLBACK;

-- Verify topicbase:api/mqtt_ingest_body on pg
BEGIN;
SELECT mqtt.verify_function('api.mqtt_ingest_body(json)', true, 'v', '{anon,authenticated,service_role}');
ROLLBACK;

-- Verify topicbase:api/mqtt_ingest_binary on pg
BEGIN;
SELECT mqtt.verify_function('api.mqtt_ingest_binary(bytea)', true, 'v', '{anon,authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.ingest_bytes(bytea, text)', false, 'v', '{}');
ROLLBACK;

-- Verify topicbase:api/mqtt_ingest_document on pg
BEGIN;
SELECT mqtt.verify_function('api.mqtt_ingest_document(bytea)', true, 'v', '{anon,authenticated,service_role}');
SELECT mqtt.verify_function('api.mqtt_ingest_document(json)', true, 'v', '{anon,authenticated,service_role}');
SELECT mqtt.verify_function('api.mqtt_ingest_document(text)', true, 'v', '{anon,authenticated,service_role}');
SELECT mqtt.verify_function('api.mqtt_ingest_document(xml)', true, 'v', '{anon,authenticated,service_role}');
ROLLBACK;

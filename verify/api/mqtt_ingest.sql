-- Verify topicbase:api/mqtt_ingest on pg
BEGIN;
SELECT mqtt.verify_function(
    'api.mqtt_ingest(text, json, integer, boolean, text, text, uuid, text)', true, 'v', '{anon,authenticated,service_role}'
);
SELECT mqtt.verify_function('mqtt.ingest_message(text, json, integer, boolean, text, text, uuid, text)', false, 'v', '{}');
ROLLBACK;

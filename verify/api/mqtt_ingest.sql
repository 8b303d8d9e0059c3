-- Verify topicbase:api/mqtt_ingest on pg
BEGIN;
SELECT mqtt.verify_function(
    'api.mqtt_ingest(text, json, json, json, text, text, text, json)', true, 'v', '{anon,authenticated,service_role}'
);
SELECT mqtt.verify_function('mqtt.ingest_message(text, json, text, text, text, text, text, text)', false, 'v', '{}');
ROLLBACK;

-- Verify topicbase:api/explain_mqtt_access on pg
BEGIN;
SELECT mqtt.verify_function('api.explain_mqtt_access(uuid, text, text)', true, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.access_explanation(text, mqtt.mqtt_credentials, text, text, text, text)', false, 's', '{}');
ROLLBACK;

-- Verify topicbase:api/delete_mqtt_credentials on pg
BEGIN;
SELECT mqtt.verify_function('api.delete_mqtt_credentials(uuid, uuid, timestamptz, integer)', true, 'v', '{authenticated,service_role}');
ROLLBACK;

-- Verify topicbase:api/mqtt_credentials on pg
BEGIN;
SELECT mqtt.verify_function('api.get_mqtt_credentials(uuid, uuid, uuid)', true, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('api.rotate_mqtt_credentials(uuid, interval)', true, 'v', '{authenticated,service_role}');
SELECT mqtt.verify_function('api.revoke_mqtt_credentials(uuid)', true, 'v', '{authenticated,service_role}');
ROLLBACK;

-- Verify topicbase:broker_keys on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.broker_keys', '{}', '{}');
SELECT mqtt.verify_function('mqtt.password_fits(mqtt.mqtt_credentials, text)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.broker_login()', true, 's', '{}');
SELECT mqtt.verify_function('mqtt.broker_credential(mqtt.broker_keys, text)', true, 's', '{}');
SELECT mqtt.verify_function('mqtt.is_heard(mqtt.mqtt_credentials)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.note_broker_login(mqtt.mqtt_credentials)', false, 'v', '{}');
SELECT mqtt.verify_function('api.generate_broker_key(text, uuid, text, text)', true, 'v', '{authenticated,service_role}');
SELECT mqtt.verify_function('api.get_broker_keys()', true, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('api.revoke_broker_key(uuid)', true, 'v', '{authenticated,service_role}');
ROLLBACK;

-- Verify topicbase:brokers/logins on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.password_matches(mqtt.mqtt_credentials, text)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.broker_login()', true, 's', '{}');
SELECT mqtt.verify_function('mqtt.broker_credential(mqtt.broker_keys, text)', true, 's', '{}');
SELECT mqtt.verify_function('mqtt.is_heard(mqtt.mqtt_credentials)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.client_ids(mqtt.mqtt_credentials)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.count_sessions(uuid [], bigint [], timestamptz [])', false, 'v', '{}');
SELECT mqtt.verify_function('mqtt.note_first_login(mqtt.mqtt_credentials)', false, 'v', '{}');
SELECT mqtt.verify_function('mqtt.note_broker_login(mqtt.mqtt_credentials)', false, 'v', '{}');
ROLLBACK;

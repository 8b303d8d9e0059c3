-- Revert topicbase:brokers/logins from pg
BEGIN;
DROP FUNCTION mqtt.note_broker_login(mqtt.mqtt_credentials);
DROP FUNCTION mqtt.note_first_login(mqtt.mqtt_credentials);
DROP FUNCTION mqtt.count_sessions(uuid [], bigint [], timestamptz []);
DROP FUNCTION mqtt.client_ids(mqtt.mqtt_credentials);
DROP FUNCTION mqtt.is_heard(mqtt.mqtt_credentials);
DROP FUNCTION mqtt.broker_credential(mqtt.broker_keys, text);
DROP FUNCTION mqtt.broker_login();
DROP FUNCTION mqtt.password_matches(mqtt.mqtt_credentials, text);
COMMIT;

-- Revert topicbase:broker_keys from pg
BEGIN;
-- Loses the keys: the brokers need new ones.
DROP FUNCTION api.revoke_broker_key(uuid);
DROP FUNCTION api.get_broker_keys();
DROP FUNCTION api.generate_broker_key(text, uuid, text, text);
DROP FUNCTION mqtt.note_broker_login(mqtt.mqtt_credentials);
DROP FUNCTION mqtt.is_heard(mqtt.mqtt_credentials);
DROP FUNCTION mqtt.broker_credential(mqtt.broker_keys, text);
DROP FUNCTION mqtt.broker_login();
DROP FUNCTION mqtt.password_fits(mqtt.mqtt_credentials, text);
DROP TABLE mqtt.broker_keys;
COMMIT;

-- Revert topicbase:base/passwords from pg
BEGIN;
DROP FUNCTION mqtt.password_verifier(bytea, text);
DROP FUNCTION mqtt.bcrypt_password_hash(text);
DROP FUNCTION mqtt.mosquitto_password_hash(text);
DROP FUNCTION mqtt.random_bytes(integer);
DROP FUNCTION mqtt.random_password();
COMMIT;

-- Revert topicbase:bridge/repeated_retained from pg
BEGIN;
DROP FUNCTION mqtt.repeated_retained(uuid [], uuid [], integer [], text [], bytea [], boolean [], text [], jsonb []);
DROP FUNCTION mqtt.last_waiting(uuid []);
DROP FUNCTION mqtt.is_last_stored(uuid, uuid, text, text, bytea);
COMMIT;

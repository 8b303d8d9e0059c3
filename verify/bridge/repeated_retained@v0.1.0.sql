-- Verify topicbase:bridge/repeated_retained on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.is_last_stored(uuid, uuid, text, text, bytea)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.last_waiting(uuid [])', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.repeated_retained(uuid [], uuid [], integer [], text [], bytea [], boolean [], text [], jsonb [])', false, 'v', '{}');
ROLLBACK;

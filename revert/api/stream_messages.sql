-- Revert topicbase:api/stream_messages from pg
BEGIN;
DROP FUNCTION mqtt.stream_routes(integer [], integer [], integer [], text [], uuid [], text []);
DROP FUNCTION mqtt.stream_messages(integer [], bigint [], bigint [], integer [], integer [], integer [], text, uuid, uuid [], boolean, integer);
DROP FUNCTION mqtt.payload_bytes(jsonb, bytea);
DROP FUNCTION mqtt.stream_readings(mqtt.history, text);
DROP FUNCTION mqtt.stream_message(mqtt.history, mqtt.topics, text);
COMMIT;

-- Revert topicbase:api/open_stream from pg
BEGIN;
DROP FUNCTION mqtt.begin_stream(uuid);
DROP FUNCTION mqtt.watch_stream(uuid, integer []);
DROP FUNCTION mqtt.open_stream(jsonb, uuid, text, text, text [], uuid);
DROP FUNCTION mqtt.stream_device(integer [], uuid [], text);
COMMIT;

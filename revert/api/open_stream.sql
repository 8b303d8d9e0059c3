-- Revert topicbase:api/open_stream from pg
BEGIN;
DROP FUNCTION mqtt.begin_stream(uuid);
DROP FUNCTION mqtt.watch_stream(uuid, integer []);
DROP FUNCTION mqtt.stream_members(uuid []);
DROP FUNCTION mqtt.open_stream(jsonb, uuid, text, text, text []);
DROP FUNCTION mqtt.stream_device(integer [], text);
DROP FUNCTION mqtt.stream_organizations(jsonb, uuid);
COMMIT;

-- Revert topicbase:api/stream_access from pg
BEGIN;
DROP FUNCTION mqtt.free_connections(uuid, integer);
DROP FUNCTION mqtt.count_stream(uuid, integer [], integer []);
DROP FUNCTION mqtt.claimed_integrations(jsonb);
DROP FUNCTION mqtt.stream_organizations(jsonb, uuid);
DROP FUNCTION mqtt.stream_members(uuid [], uuid []);
DROP FUNCTION mqtt.stream_key(text);
COMMIT;

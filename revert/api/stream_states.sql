-- Revert topicbase:api/stream_states from pg
BEGIN;
DROP FUNCTION mqtt.stream_statistics(integer []);
DROP FUNCTION mqtt.stream_integrations(integer [], text []);
DROP FUNCTION mqtt.stream_presence(integer [], text []);
COMMIT;

-- Revert topicbase:api/replay_mqtt_dead_letters from pg
BEGIN;
DROP FUNCTION api.replay_mqtt_dead_letters(uuid, text, text, timestamptz, timestamptz, uuid [], uuid, jsonb, numeric, boolean, integer);
COMMIT;

-- Revert topicbase:api_replay_mqtt_dead_letters from pg
BEGIN;
DROP FUNCTION api.replay_mqtt_dead_letters(uuid, text, text, timestamptz, timestamptz, uuid [], uuid, jsonb, numeric, boolean, integer);
ALTER TABLE mqtt.mqtt_dead_letters DROP COLUMN replay_count, DROP COLUMN replayed_at;
COMMIT;

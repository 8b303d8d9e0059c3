-- Revert topicbase:api/replay_mqtt_messages from pg
BEGIN;
DROP FUNCTION api.replay_mqtt_messages(uuid, text, timestamptz, timestamptz, uuid, text, numeric, boolean, integer);
COMMIT;

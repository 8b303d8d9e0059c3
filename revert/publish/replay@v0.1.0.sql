-- Revert topicbase:publish/replay from pg
BEGIN;
DROP FUNCTION mqtt.replay(mqtt.replay_request, boolean);
DROP FUNCTION mqtt.redo_effects(uuid, mqtt.redone_message []);
DROP FUNCTION mqtt.announce_replay(uuid, integer, integer);
DROP FUNCTION mqtt.history_to_replay(mqtt.replay_request);
DROP FUNCTION mqtt.dead_letters_to_replay(mqtt.replay_request);
COMMIT;

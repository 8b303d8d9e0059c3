-- Verify topicbase:publish/replay on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.dead_letters_to_replay(mqtt.replay_request)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.history_to_replay(mqtt.replay_request)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.announce_replay(uuid, integer, integer)', false, 'v', '{}');
SELECT mqtt.verify_function('mqtt.redo_effects(uuid, mqtt.redone_message [])', false, 'v', '{}');
SELECT mqtt.verify_function('mqtt.replay(mqtt.replay_request, boolean)', false, 'v', '{}');
ROLLBACK;

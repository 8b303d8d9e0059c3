-- Verify topicbase:publish/require_replayable on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.replay_patch_reason(jsonb)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.require_replayable(mqtt.replay_request)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.marked_messages(mqtt.replay_request)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.require_unpacked(mqtt.replay_request)', false, 's', '{}');
ROLLBACK;

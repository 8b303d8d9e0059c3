-- Revert topicbase:publish/require_replayable from pg
BEGIN;
DROP FUNCTION mqtt.require_unpacked(mqtt.replay_request);
DROP FUNCTION mqtt.marked_messages(mqtt.replay_request);
DROP FUNCTION mqtt.require_replayable(mqtt.replay_request);
DROP FUNCTION mqtt.replay_patch_reason(jsonb);
COMMIT;

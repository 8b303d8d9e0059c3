-- Revert topicbase:publish/replay_request from pg
BEGIN;
DROP TYPE mqtt.marked_message;
DROP TYPE mqtt.redone_message;
DROP TYPE mqtt.replay_message;
DROP TYPE mqtt.replay_request;
COMMIT;

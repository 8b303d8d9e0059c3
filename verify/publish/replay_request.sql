-- Verify topicbase:publish/replay_request on pg
BEGIN;
SELECT 'mqtt.replay_request'::regtype;
SELECT 'mqtt.replay_message'::regtype;
SELECT 'mqtt.redone_message'::regtype;
SELECT 'mqtt.marked_message'::regtype;
ROLLBACK;

-- Verify topicbase:process/attempts on pg
BEGIN;
SELECT mqtt.verify_function(f, true, 'v', '{}')
FROM unnest(ARRAY['mqtt.begin_attempt(timestamptz, bigint[])', 'mqtt.finish_attempt(bigint)', 'mqtt.undo_attempt(bigint)']::regprocedure []) AS f;
ROLLBACK;

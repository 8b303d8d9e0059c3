-- Verify topicbase:process/workers on pg
BEGIN;
SELECT mqtt.verify_function(f, true, 'v', '{}')
FROM unnest(ARRAY['mqtt.begin_work(uuid)', 'mqtt.end_work(uuid)']::regprocedure []) AS f;
ROLLBACK;

-- Verify topicbase:careful_attempts on pg
BEGIN;
SELECT mqtt.verify_function(f, true, 'v', '{}')
FROM unnest(ARRAY['mqtt.begin_attempt(timestamptz, bigint[])', 'mqtt.finish_attempt(bigint)', 'mqtt.undo_attempt(bigint)']::regprocedure []) AS f;
SELECT mqtt.verify_function(f, true, 'v', '{mqtt_bridge}')
FROM unnest(
    ARRAY[
        'bridge.begin_attempt(timestamptz, bigint[])', 'bridge.suspects(tid[])', 'bridge.finish_attempt(bigint)', 'bridge.begin_work(uuid)',
        'bridge.end_work(uuid)'
    ]::regprocedure []
) AS f;
SELECT mqtt.verify_table('mqtt.workers', '{}', '{SELECT}');
ROLLBACK;

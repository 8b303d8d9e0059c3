-- Verify topicbase:bridge/attempts on pg
BEGIN;
SELECT mqtt.verify_function(f, true, 'v', '{mqtt_bridge}')
FROM unnest(
    ARRAY[
        'bridge.begin_attempt(timestamptz, bigint[])', 'bridge.suspects(tid[])', 'bridge.finish_attempt(bigint)', 'bridge.begin_work(uuid)',
        'bridge.end_work(uuid)'
    ]::regprocedure []
) AS f;
SELECT mqtt.verify_function(f, true, 's', '{mqtt_bridge}') FROM unnest('{bridge.organizations_of(tid[]), bridge.oldest_queued(uuid)}'::regprocedure []) AS f;
ROLLBACK;

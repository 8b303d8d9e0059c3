-- Verify topicbase:base/message_ids on pg
BEGIN;
SELECT mqtt.verify_function(f, false, 'i', '{authenticated,service_role}')
FROM unnest(ARRAY[
    'mqtt.message_id(timestamptz, bigint, boolean)', 'mqtt.message_id_number(uuid, boolean)', 'mqtt.message_id_time(uuid)'
]::regprocedure []) AS f;
DO $$
BEGIN
    IF mqtt.message_id_number(mqtt.message_id('2026-01-01 00:00:00.123+00', 42)) <> 42
        OR mqtt.message_id_time(mqtt.message_id('2026-01-01 00:00:00.123+00', 42)) <> '2026-01-01 00:00:00.123+00' THEN
        RAISE EXCEPTION 'message ids do not round-trip';
    END IF;
END;
$$;
ROLLBACK;

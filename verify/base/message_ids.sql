-- Verify topicbase:base/message_ids on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.keyed_message_id(timestamptz, bigint, bytea, integer)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.placed_message_id(text, integer)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.message_id(timestamptz, bigint, boolean, integer)', true, 's', '{}');
SELECT mqtt.verify_function('mqtt.message_id_time(uuid)', false, 'i', '{authenticated,service_role}');
DO $$
BEGIN
    IF mqtt.message_id_time(mqtt.message_id('2026-01-01 00:00:00.123457+00', 42)) <> '2026-01-01 00:00:00.123457+00'
        OR mqtt.message_id(now(), 1) = mqtt.message_id(now(), 1, true) THEN
        RAISE EXCEPTION 'message ids do not hold their time, or do not differ';
    END IF;
END;
$$;
ROLLBACK;

-- Deploy topicbase:base/message_ids to pg
-- requires: base/verify_helpers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.message_id(enqueued_at timestamptz, msg_id bigint, outbound boolean DEFAULT false) RETURNS uuid
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT (
        lpad(to_hex(floor(date_part('epoch', enqueued_at - '1970-01-01 00:00:00+00'::timestamptz) * 1000)::bigint), 12, '0')
        || CASE WHEN outbound THEN '8001' ELSE '8000' END
        || to_hex((-9223372036854775808)::bigint | msg_id)
    )::uuid;
END;
COMMENT ON FUNCTION mqtt.message_id(timestamptz, bigint, boolean) IS
'UUID version 8 (RFC 9562 section 5.8) of a queued message: 48 bits of Unix milliseconds, queue 0 in or 1 out, 62 bits of msg_id. Finding a message by it needs no index of its own.';

CREATE OR REPLACE FUNCTION mqtt.message_id_number(message_id uuid, outbound boolean DEFAULT false) RETURNS bigint
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN substr(message_id::text, 15, 4) = CASE WHEN outbound THEN '8001' ELSE '8000' END
            THEN ('x' || replace(substr(message_id::text, 20), '-', ''))::bit(64)::bigint & 4611686018427387903
    END;
END;
COMMENT ON FUNCTION mqtt.message_id_number(uuid, boolean) IS 'The msg_id inside a message id that mqtt.message_id made; null for a client''s own.';

CREATE OR REPLACE FUNCTION mqtt.message_id_time(message_id uuid) RETURNS timestamptz
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN substr(message_id::text, 15, 3) = '800'
            THEN to_timestamp(('x' || lpad(replace(left(message_id::text, 13), '-', ''), 16, '0'))::bit(64)::bigint / 1000.0)
    END;
END;
COMMENT ON FUNCTION mqtt.message_id_time(uuid) IS 'When the message was queued, to the millisecond below, by a message id that mqtt.message_id made; null for a client''s own.';
GRANT EXECUTE ON FUNCTION mqtt.message_id(timestamptz, bigint, boolean), mqtt.message_id_number(uuid, boolean),
mqtt.message_id_time(uuid) TO authenticated, service_role;
COMMIT;

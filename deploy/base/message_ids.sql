-- Deploy topicbase:base/message_ids to pg
-- requires: base/message_id_key
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.keyed_message_id(enqueued_at timestamptz, msg_id bigint, key bytea, place integer DEFAULT 0) RETURNS uuid
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT (
        lpad(to_hex(
            -- The milliseconds in 48 bits, the version in 4, and 12 for the rest of the time.
            ((date_part('epoch', enqueued_at - '1970-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint / 1000 << 16) | 28672
            | (date_part('epoch', enqueued_at - '1970-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint % 1000 * 4096 / 1000
        ), 16, '0')
        || to_hex(8388608 | (place & 1048575)) || encode(substr(sha256(key || int8send(msg_id)), 1, 5), 'hex')
    )::uuid;
END;
COMMENT ON FUNCTION mqtt.keyed_message_id(timestamptz, bigint, bytea, integer) IS
'UUID version 7 (RFC 9562 section 5.7, with method 3 of section 6.2) of a queued message: the time to the microsecond, 20 bits of its place in the call, and 40 bits that only the key connects with its number in the queue, which counts the messages of all organizations. Outgoing: the number negated. A part of the statement that asks.';

CREATE OR REPLACE FUNCTION mqtt.placed_message_id(digits text, place integer) RETURNS uuid
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT overlay(digits PLACING to_hex(8388608 | (place & 1048575)) FROM 17 FOR 6)::uuid;
END;
COMMENT ON FUNCTION mqtt.placed_message_id(text, integer) IS
'The id of a message of a work item by its place in that, from mqtt.keyed_message_id of the item, as 32 digits: the messages of an item have their time and the 40 bits of their item in common, which spares a hash for each. A part of the statement that asks.';

CREATE OR REPLACE FUNCTION mqtt.message_id(enqueued_at timestamptz, msg_id bigint, outbound boolean DEFAULT false, place integer DEFAULT 0) RETURNS uuid
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT mqtt.keyed_message_id(enqueued_at, CASE WHEN outbound THEN -msg_id ELSE msg_id END, k.key, place) FROM mqtt.message_id_key AS k);
END;
$$;
COMMENT ON FUNCTION mqtt.message_id(timestamptz, bigint, boolean, integer) IS 'mqtt.keyed_message_id with the key of this installation.';

CREATE OR REPLACE FUNCTION mqtt.message_id_time(message_id uuid) RETURNS timestamptz
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN substr(message_id::text, 15, 1) = '7'
            THEN '1970-01-01 00:00:00+00'::timestamptz
                + ('x' || lpad(replace(left(message_id::text, 13), '-', ''), 16, '0'))::bit(64)::bigint * interval '1 millisecond'
                + (('x' || lpad(substr(message_id::text, 16, 3), 8, '0'))::bit(32)::integer * 1000 + 4095) / 4096 * interval '1 microsecond'
    END;
END;
COMMENT ON FUNCTION mqtt.message_id_time(uuid) IS 'When the message was queued, to the microsecond, by a message id of ours; null for a UUID of another version. Of a client''s own UUID of version 7 it is about when that was made.';
GRANT EXECUTE ON FUNCTION mqtt.message_id_time(uuid) TO authenticated, service_role;
COMMIT;

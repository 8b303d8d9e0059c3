-- Deploy topicbase:tables/stream_cursors to pg
-- requires: base/conceal
-- requires: tables/settlements
-- requires: tables/stream_position
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.stream_cursor(
    organization integer, incoming bigint, outgoing bigint, incoming_place integer, outgoing_place integer, settled_at timestamptz
) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    -- 32 bytes. The last two are zero, which what is no cursor hardly ever has.
    SELECT mqtt.conceal(
        int4send(organization) || substr(int8send(incoming), 2) || substr(int8send(outgoing), 2) || int4send(incoming_place) || int4send(outgoing_place)
        || int4send(floor(extract(EPOCH FROM stream_cursor.settled_at) / 3600)::integer) || '\x0000'::bytea
    );
END;
COMMENT ON FUNCTION mqtt.stream_cursor(integer, bigint, bigint, integer, integer, timestamptz) IS
'The position of a reader in one organization as a cursor of 43 characters, and the hour in which it was settled.';

CREATE OR REPLACE FUNCTION mqtt.read_stream_cursor(
    cursor text, OUT organization integer, OUT incoming bigint, OUT outgoing bigint, OUT incoming_place integer,
    OUT outgoing_place integer, OUT settled_at timestamptz
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_hex text;
BEGIN
    BEGIN
        IF cursor ~ '^[A-Za-z0-9_-]{43}$' THEN
            v_hex := encode(mqtt.reveal(cursor), 'hex');
            IF right(v_hex, 4) = '0000' THEN
                organization := ('x' || left(v_hex, 8))::bit(32)::integer;
                incoming := ('x' || lpad(substr(v_hex, 9, 14), 16, '0'))::bit(64)::bigint;
                outgoing := ('x' || lpad(substr(v_hex, 23, 14), 16, '0'))::bit(64)::bigint;
                incoming_place := ('x' || substr(v_hex, 37, 8))::bit(32)::integer;
                outgoing_place := ('x' || substr(v_hex, 45, 8))::bit(32)::integer;
                settled_at := to_timestamp(3600::double precision * ('x' || substr(v_hex, 53, 8))::bit(32)::integer);
                RETURN;
            END IF;
        END IF;
    EXCEPTION
        WHEN data_exception OR external_routine_exception THEN
            NULL;
    END;
    RAISE EXCEPTION 'cursor_invalid' USING
        ERRCODE = 'PT400', DETAIL = 'cursor is that of an event of the stream.', HINT = 'Omit it to begin with what comes next.';
END;
$$;
COMMENT ON FUNCTION mqtt.read_stream_cursor(text) IS 'What mqtt.stream_cursor was given. Errors: PT400 `cursor_invalid`.';
COMMIT;

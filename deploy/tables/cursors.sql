-- Deploy topicbase:tables/cursors to pg
-- requires: tables/message_cursor
-- requires: tables/mqtt_messages
-- requires: tables/reading_rows
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.encode_cursor(at timestamptz, received_at timestamptz, organization_id uuid, id uuid) RETURNS text
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT translate(encode(
        int8send((extract(EPOCH FROM at) * 1000000)::bigint) || int8send((extract(EPOCH FROM received_at) * 1000000)::bigint)
        || uuid_send(organization_id) || uuid_send(id), 'base64'
    ), E'+/\n', '-_');
END;
COMMENT ON FUNCTION mqtt.encode_cursor(timestamptz, timestamptz, uuid, uuid) IS
'The place of a row as a cursor: base64url of both times in microseconds since 1970 and both ids. It has no position, by which one could count what others send.';

CREATE OR REPLACE FUNCTION mqtt.read_cursor(cursor text) RETURNS mqtt.message_cursor
LANGUAGE plpgsql IMMUTABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_hex text;
    v_cursor mqtt.message_cursor;
BEGIN
    IF cursor IS NULL THEN
        RETURN NULL;
    END IF;
    BEGIN
        IF cursor ~ '^[A-Za-z0-9_-]{64}$' THEN
            v_hex := encode(decode(translate(cursor, '-_', '+/'), 'base64'), 'hex');
            v_cursor.at := '1970-01-01 00:00:00+00'::timestamptz + ('x' || left(v_hex, 16))::bit(64)::bigint * interval '1 microsecond';
            v_cursor.received_at := '1970-01-01 00:00:00+00'::timestamptz + ('x' || substr(v_hex, 17, 16))::bit(64)::bigint * interval '1 microsecond';
            v_cursor.organization_id := substr(v_hex, 33, 32)::uuid;
            v_cursor.id := substr(v_hex, 65, 32)::uuid;
            RETURN v_cursor;
        END IF;
    EXCEPTION
        WHEN data_exception THEN
            NULL;
    END;
    RAISE EXCEPTION 'cursor_invalid' USING
        ERRCODE = 'PT400', DETAIL = 'cursor is that of a row of an earlier answer.', HINT = 'Omit it to begin at the start.';
END;
$$;
COMMENT ON FUNCTION mqtt.read_cursor(text) IS 'The place that mqtt.encode_cursor made a cursor of; null for null. Raises PT400 cursor_invalid if it is none.';

CREATE OR REPLACE FUNCTION mqtt.cursor_position(cursor mqtt.message_cursor) RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_organization CONSTANT integer := (SELECT o.number FROM mqtt.organizations AS o WHERE o.id = cursor.organization_id);
BEGIN
    RETURN coalesce(
        (
            SELECT h.position
            FROM mqtt.history AS h
            WHERE h.organization = v_organization
                AND h.received_at = cursor.received_at AND h.id = cursor.id
        ),
        (
            SELECT p.position
            FROM mqtt.packed_history AS p
            WHERE p.organization = v_organization AND p.topic = ANY (mqtt.packed_topics(ARRAY[v_organization], cursor.id))
                AND p.first_received_at <= cursor.received_at AND p.last_received_at >= cursor.received_at
                AND p.received_at = cursor.received_at AND p.id = cursor.id
        ),
        (
            SELECT r.position
            FROM mqtt.reading_rows AS r
            WHERE r.organization = v_organization
                AND r.received_at = cursor.received_at AND r.id = cursor.id
        )
    );
END;
$$;
COMMENT ON FUNCTION mqtt.cursor_position(mqtt.message_cursor) IS
'The position of the message or sample that a cursor names; null if it is no longer there, and so are those that were received with it.';
GRANT EXECUTE ON FUNCTION mqtt.encode_cursor(timestamptz, timestamptz, uuid, uuid), mqtt.read_cursor(text), mqtt.cursor_position(mqtt.message_cursor)
TO authenticated, service_role;
COMMIT;

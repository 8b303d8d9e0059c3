-- Deploy topicbase:tables/pack_rows to pg
-- requires: base/message_ids
-- requires: tables/packs
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.one_for_all(numbers anyarray) RETURNS anyarray
LANGUAGE plpgsql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN CASE WHEN array_remove(numbers, numbers[1]) = '{}' THEN numbers[1:1] ELSE numbers END;
END;
$$;
COMMENT ON FUNCTION mqtt.one_for_all(anyarray) IS 'An array, or of one whose elements are all the same the first.';

CREATE OR REPLACE FUNCTION mqtt.keyed_id(microseconds bigint, place integer, high integer, low integer) RETURNS uuid
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT (
        lpad(to_hex(microseconds / 1000 << 16 | 28672 | microseconds % 1000 * 4096 / 1000), 16, '0')
        || to_hex(8388608 | place) || lpad(to_hex(high), 2, '0') || lpad(to_hex(low), 8, '0')
    )::uuid;
END;
COMMENT ON FUNCTION mqtt.keyed_id(bigint, integer, integer, integer) IS
'The id that mqtt.keyed_message_id made, of its time in microseconds since 1970, the place in the call and the 8 and 32 bits that only the key connects with the number in the queue.';

CREATE OR REPLACE FUNCTION mqtt.pack_of(messages mqtt.history []) RETURNS mqtt.packs
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    p mqtt.packs;
BEGIN
    SELECT
        min(h.received_at), max(h.received_at), min(h.measured_at), max(h.measured_at), min(h.position), max(h.position), min(h.organization), min(h.topic),
        count(*), CASE WHEN bool_and(h.measured_at = h.received_at) THEN NULL ELSE 1 END
    INTO
        p.first_received_at, p.last_received_at, p.first_measured_at, p.last_measured_at, p.first_position, p.last_position, p.organization, p.topic,
        p.message_count, p.measured_step
    FROM unnest(messages) AS h;
    IF p.measured_step = 1 THEN
        SELECT CASE
            WHEN bool_and(x.microseconds % 1000000 = 0) THEN 1000000
            WHEN bool_and(x.microseconds % 1000 = 0) THEN 1000
            ELSE 1
        END INTO p.measured_step
        FROM (SELECT (extract(EPOCH FROM h.measured_at - p.first_measured_at) * 1000000)::bigint AS microseconds FROM unnest(messages) AS h) AS x;
    END IF;
    SELECT
        array_agg((x.received & 1073741823)::integer), mqtt.one_for_all(array_agg((x.received >> 30)::smallint)),
        CASE WHEN p.measured_step > 0 THEN array_agg((x.measured & 1073741823)::integer) END,
        CASE WHEN p.measured_step > 0 THEN mqtt.one_for_all(array_agg((x.measured >> 30)::integer)) END,
        array_agg((x.place & 32767)::smallint), mqtt.one_for_all(array_agg(x.place >> 15)),
        array_agg(CASE WHEN x.is_ours THEN x.id_low ELSE 0 END),
        array_agg((CASE WHEN NOT x.is_ours THEN 0 WHEN x.id_high > 127 THEN x.id_high - 256 ELSE x.id_high END)::"char"),
        mqtt.one_for_all(array_agg(CASE WHEN x.is_ours THEN x.id_place ELSE 0 END)), mqtt.one_for_all(array_agg(x.stored_after)),
        mqtt.one_for_all(array_agg(x.flags)), string_agg(x.payload::text, E'\n'), array_agg(CASE WHEN NOT x.is_ours THEN x.id END),
        string_agg(coalesce(x.rest, ''), E'\n')
    INTO
        p.received_low, p.received_high, p.measured_low, p.measured_high, p.position_low, p.position_high, p.id_low, p.id_high, p.id_place,
        p.stored_after, p.flags, p.payloads, p.given_ids, p.rests
    FROM (
        SELECT
            h.*, i.*, (extract(EPOCH FROM h.received_at - p.first_received_at) * 1000000)::bigint AS received,
            (extract(EPOCH FROM h.measured_at - p.first_measured_at) * 1000000)::bigint / p.measured_step AS measured, h.position - p.first_position AS place,
            i.id_place BETWEEN 0 AND 1048575 AND h.flags & 16 = 0 AND mqtt.keyed_id((extract(EPOCH FROM h.received_at) * 1000000)::bigint, i.id_place, i.id_high, i.id_low) = h.id AS is_ours,
            nullif(jsonb_strip_nulls(jsonb_build_object(
                'sent_at', h.sent_at, 'content_type', h.content_type, 'body', translate(encode(h.body, 'base64'), E'\n', ''), 'decode_error', h.decode_error
            )) || CASE WHEN h.properties IS NULL THEN '{}' ELSE jsonb_build_object('properties', h.properties) END, '{}')::text AS rest
        FROM unnest(messages) AS h
        CROSS JOIN LATERAL (
            SELECT
                ('x' || right(h.id::text, 8))::bit(32)::integer AS id_low, get_byte(uuid_send(h.id), 11) AS id_high,
                (get_byte(uuid_send(h.id), 8) * 256 + get_byte(uuid_send(h.id), 9)) * 256 + get_byte(uuid_send(h.id), 10) - 8388608 AS id_place
        ) AS i
        ORDER BY h.received_at, h.position, h.id
    ) AS x;
    IF array_remove(p.given_ids, NULL) = '{}' THEN
        p.given_ids := NULL;
    ELSIF array_position(p.given_ids, NULL) IS NULL THEN
        p.id_low := mqtt.one_for_all(p.id_low);
        p.id_high := mqtt.one_for_all(p.id_high);
    END IF;
    p.rests := nullif(p.rests, repeat(E'\n', p.message_count - 1));
    RETURN p;
END;
$$;
COMMENT ON FUNCTION mqtt.pack_of(mqtt.history []) IS
'The pack of messages of one topic, without number and run; mqtt.packed_history has them again.';

CREATE OR REPLACE VIEW mqtt.unread_runs WITH (security_invoker = true) AS
SELECT d.run FROM mqtt.packed_days AS d WHERE d.state = 'packing';
COMMENT ON VIEW mqtt.unread_runs IS
'Runs whose packs are not read yet, since the history, or other packs, still have their messages. An archive adds its own; see packaging/citus.';
GRANT SELECT ON mqtt.unread_runs TO authenticated, service_role;

CREATE OR REPLACE VIEW mqtt.days_in_packs WITH (security_invoker = true) AS
SELECT d.day FROM mqtt.packed_days AS d WHERE d.state <> 'packing'
UNION ALL
-- What came with organizations that moved here has no run of its own, and is of any day.
(SELECT 'infinity'::date FROM ONLY mqtt.packs AS p WHERE p.run = 0 LIMIT 1);
COMMENT ON VIEW mqtt.days_in_packs IS 'Days (UTC) of which readers find messages in mqtt.packs. An archive adds its own; see packaging/citus.';
GRANT SELECT ON mqtt.days_in_packs TO authenticated, service_role;

CREATE OR REPLACE VIEW mqtt.packed_history WITH (security_invoker = true) AS
SELECT
    p.number AS pack, p.first_received_at, p.last_received_at, p.first_measured_at, p.last_measured_at,
    p.first_received_at + t.received * '1 microsecond'::interval AS received_at,
    CASE
        WHEN p.measured_step IS NULL THEN p.first_received_at + t.received * '1 microsecond'::interval
        ELSE p.first_measured_at + t.measured * '1 microsecond'::interval
    END AS measured_at,
    p.first_position + u.position_low + (coalesce(u.position_high, p.position_high[1]) << 15) AS position,
    coalesce(u.given_id, mqtt.keyed_id(
        (date_part('epoch', p.first_received_at - '1970-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint + t.received,
        coalesce(u.id_place, p.id_place[1]), u.id_high::integer & 255, u.id_low
    )) AS id,
    p.organization, p.topic, coalesce(u.stored_after, p.stored_after[1]) AS stored_after, coalesce(u.flags, p.flags[1]) AS flags,
    u.payload::jsonb AS payload, (nullif(u.rest, '')::jsonb ->> 'sent_at')::timestamptz AS sent_at, nullif(u.rest, '')::jsonb ->> 'content_type' AS content_type,
    decode(nullif(u.rest, '')::jsonb ->> 'body', 'base64') AS body, nullif(u.rest, '')::jsonb ->> 'decode_error' AS decode_error,
    nullif(u.rest, '')::jsonb -> 'properties' AS properties
FROM mqtt.packs AS p
CROSS JOIN LATERAL unnest(
    p.received_low, p.received_high, p.measured_low, p.measured_high, p.position_low, p.position_high, p.id_low, p.id_high, p.id_place, p.stored_after,
    p.flags, p.given_ids, string_to_array(p.payloads, E'\n'), string_to_array(p.rests, E'\n')
) AS u (
    received_low, received_high, measured_low, measured_high, position_low, position_high, id_low, id_high, id_place, stored_after, flags, given_id,
    payload, rest
)
CROSS JOIN LATERAL (
    SELECT
        u.received_low + (coalesce(u.received_high, p.received_high[1])::bigint << 30) AS received,
        (u.measured_low + (coalesce(u.measured_high, p.measured_high[1])::bigint << 30)) * p.measured_step AS measured
) AS t
-- Those that are still being written are not read yet.
WHERE p.run <> ALL (ARRAY(SELECT u.run FROM mqtt.unread_runs AS u));
COMMENT ON VIEW mqtt.packed_history IS
'The messages of packed days, as mqtt.history would have them, and in what ranges those of their pack are: conditions on these spare opening packs.';

CREATE OR REPLACE FUNCTION mqtt.messages_of_pack(pack bigint) RETURNS SETOF mqtt.history
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_message mqtt.history;
BEGIN
    -- Into a row, and not as one: a column that a later release adds to the history is null here until this is reworked.
    FOR v_message IN
        SELECT
            p.received_at, p.measured_at, p.position, p.id, p.organization, p.topic, p.stored_after, p.flags, p.payload, p.sent_at, p.content_type,
            p.body, p.decode_error, p.properties
        FROM mqtt.packed_history AS p
        WHERE p.pack = messages_of_pack.pack
    LOOP
        RETURN NEXT v_message;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION mqtt.messages_of_pack(bigint) IS 'The messages of one pack.';

CREATE OR REPLACE FUNCTION mqtt.write_pack(messages mqtt.history [], run integer) RETURNS integer
LANGUAGE sql VOLATILE SECURITY INVOKER
BEGIN ATOMIC
    INSERT INTO mqtt.packs (
        first_received_at, last_received_at, first_measured_at, last_measured_at, first_position, last_position, organization, topic, run, message_count,
        measured_step, received_low, received_high, measured_low, measured_high, position_low, position_high, id_low, id_high, id_place, stored_after,
        flags, payloads, given_ids, rests
    )
    SELECT
        p.first_received_at, p.last_received_at, p.first_measured_at, p.last_measured_at, p.first_position, p.last_position, p.organization, p.topic,
        write_pack.run, p.message_count, p.measured_step, p.received_low, p.received_high, p.measured_low, p.measured_high, p.position_low, p.position_high,
        p.id_low, p.id_high, p.id_place, p.stored_after, p.flags, p.payloads, p.given_ids, p.rests
    FROM mqtt.pack_of(messages) AS p
    RETURNING message_count;
END;
COMMENT ON FUNCTION mqtt.write_pack(mqtt.history [], integer) IS 'Stores messages of one topic as a pack; returns how many.';

CREATE OR REPLACE FUNCTION mqtt.take_from_pack(pack bigint, ids uuid []) RETURNS SETOF mqtt.history
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_messages mqtt.history [];
    v_kept mqtt.history [];
    v_run integer;
    v_organization integer;
    v_unread CONSTANT integer [] := ARRAY(SELECT u.run FROM mqtt.unread_runs AS u);
BEGIN
    -- Whoever waited for another's change finds that the pack has another number now, and takes nothing.
    PERFORM FROM ONLY mqtt.packs AS p WHERE p.number = take_from_pack.pack FOR UPDATE;
    SELECT p.run, p.organization INTO v_run, v_organization FROM mqtt.packs AS p WHERE p.number = take_from_pack.pack AND p.run <> ALL (v_unread);
    v_messages := ARRAY(SELECT m FROM mqtt.messages_of_pack(take_from_pack.pack) AS m);
    v_kept := ARRAY(SELECT m FROM unnest(v_messages) AS m WHERE m.id <> ALL (ids));
    IF cardinality(v_kept) < cardinality(v_messages) THEN
        DELETE FROM mqtt.packs AS p WHERE p.number = take_from_pack.pack AND p.organization = v_organization AND p.run = v_run;
        IF v_kept <> '{}' THEN
            PERFORM mqtt.write_pack(v_kept, v_run);
        END IF;
    END IF;
    RETURN QUERY SELECT m.* FROM unnest(v_messages) AS m WHERE m.id = ANY (ids);
END;
$$;
COMMENT ON FUNCTION mqtt.take_from_pack(bigint, uuid []) IS 'Deletes messages from a pack, which is written again without them; returns them.';

CREATE OR REPLACE FUNCTION mqtt.packed_topics(organizations integer [], id uuid) RETURNS integer []
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    -- The index of ids cannot be used beneath a policy.
    v_organizations CONSTANT integer [] := CASE
        WHEN mqtt.is_service() OR (current_setting('role') IN ('none', 'mqtt_owner') AND pg_has_role(session_user, 'mqtt_owner', 'member'))
            THEN organizations
        ELSE ARRAY(SELECT o.number FROM unnest(organizations) AS o (number) WHERE o.number = ANY (mqtt.current_organization_numbers()))
    END;
    v_at CONSTANT timestamptz := mqtt.message_id_time(packed_topics.id);
    v_low CONSTANT integer := ('x' || right(packed_topics.id::text, 8))::bit(32)::integer;
BEGIN
    RETURN ARRAY(
        SELECT p.topic FROM mqtt.packs AS p WHERE p.given_ids @> ARRAY[packed_topics.id] AND p.organization = ANY (v_organizations)
        UNION
        SELECT p.topic
        FROM mqtt.packs AS p
        WHERE p.organization = ANY (v_organizations) AND p.last_received_at >= v_at AND p.first_received_at <= v_at AND v_low = ANY (p.id_low)
    );
END;
$$;
COMMENT ON FUNCTION mqtt.packed_topics(integer [], uuid) IS
'Topics of the packs that may have the message with this id, in those of the organizations that the caller may read: few, so that not all packs of its time need be opened.';
GRANT EXECUTE ON FUNCTION mqtt.packed_topics(integer [], uuid) TO authenticated, service_role;
GRANT EXECUTE ON FUNCTION mqtt.keyed_id(bigint, integer, integer, integer) TO authenticated, service_role;
GRANT SELECT ON mqtt.packed_history TO authenticated, service_role;
COMMIT;

-- Deploy topicbase:process/due_organizations to pg
-- requires: base/locks
-- requires: tables/queues
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.sweep_queue(start uuid, latest timestamptz, most integer) RETURNS TABLE (candidates jsonb, is_cut boolean)
LANGUAGE sql STABLE SECURITY INVOKER ROWS 1
BEGIN ATOMIC
    -- Every organization with rows, one index probe each, going on after the last one served. Where the first is due later, others
    -- may come that are due at once.
    WITH RECURSIVE walk AS (
        SELECT sweep_queue.start AS id, NULL::timestamptz AS vt, false AS is_round
        UNION ALL
        SELECT n.organization_id, n.vt, n.is_round
        FROM walk AS w
        CROSS JOIN LATERAL (
            (
                SELECT q.organization_id, q.vt, w.is_round
                FROM pgmq.q_mqtt_messages AS q
                WHERE q.organization_id > w.id
                ORDER BY q.organization_id, q.vt
                LIMIT 1
            )
            UNION ALL
            SELECT '00000000-0000-0000-0000-000000000000', NULL, true
            WHERE NOT w.is_round
            LIMIT 1
        ) AS n
        WHERE NOT w.is_round OR w.id < sweep_queue.start
    )
    SELECT
        coalesce(jsonb_object_agg(s.id, least(s.vt, latest) - interval '1 microsecond') FILTER (WHERE s.vt IS NOT NULL), '{}'),
        count(s.vt) >= most
    FROM (SELECT w.id, w.vt FROM walk AS w LIMIT most + 2) AS s;
END;
COMMENT ON FUNCTION mqtt.sweep_queue(uuid, timestamptz, integer) IS
'The organizations that have messages in the queue, those after start first, each with the time before its first (at most latest) in a JSON object; is_cut: there may be more than so many. A part of mqtt.due_messages.';

CREATE OR REPLACE FUNCTION mqtt.newest_in_queue(marks jsonb, seen bigint, looked_at timestamptz, margin interval, most integer)
RETURNS TABLE (candidates jsonb, last_seen bigint, newer bigint)
LANGUAGE sql STABLE SECURITY INVOKER ROWS 1
BEGIN ATOMIC
    SELECT
        coalesce(jsonb_object_agg(x.organization_id, least(x.mark, looked_at) - margin), '{}'),
        coalesce(max(x.seen), newest_in_queue.seen),
        coalesce(sum(x.newer), 0)::bigint
    FROM (
        SELECT r.organization_id, min(r.vt) AS mark, max(r.msg_id) AS seen, count(*) AS newer
        FROM (
            SELECT q.organization_id, q.vt, q.msg_id
            FROM pgmq.q_mqtt_messages AS q
            WHERE q.msg_id > newest_in_queue.seen AND (SELECT count(*) FROM jsonb_object_keys(marks)) <= most
            ORDER BY q.msg_id
            LIMIT 1000
        ) AS r
        GROUP BY r.organization_id
    ) AS x;
END;
COMMENT ON FUNCTION mqtt.newest_in_queue(jsonb, bigint, timestamptz, interval, integer) IS
'The organizations of the newest rows, those after the msg_id seen, likewise; at most 1,000 rows, and none while more organizations are marked than are remembered. A part of mqtt.due_messages.';

CREATE OR REPLACE FUNCTION mqtt.lock_organizations(
    candidates jsonb, start uuid, due_at timestamptz, share integer, most integer, room integer, paused uuid [],
    OUT organizations uuid [], OUT firsts timestamptz [], OUT waiting integer [], OUT kept uuid [], OUT busy uuid, OUT due integer
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- Further settings are those of mqtt.due_messages, which calls it.
AS $$
DECLARE
    v_next record;
    v_room integer := room;
BEGIN
    organizations := '{}';
    firsts := '{}';
    waiting := '{}';
    kept := '{}';
    due := 0;
    FOR v_next IN
        SELECT c.id, f.first, f.waiting
        FROM (
            SELECT j.key::uuid AS id, j.value::timestamptz AS mark FROM jsonb_each_text(candidates) AS j
            WHERE j.key::uuid <> ALL (paused)
            ORDER BY j.key::uuid <= start, j.key::uuid
        ) AS c
        CROSS JOIN LATERAL (
            SELECT
                min(x.vt) AS first,
                -- A large work item goes in large parts: the fewer batches tell of a device, the less work it is.
                greatest(least(coalesce(sum(x.message_count), 0), share), least(coalesce((array_agg(x.message_count))[1], 0), room / 2))::integer AS waiting
            FROM (
                SELECT q.vt, q.message_count
                FROM pgmq.q_mqtt_messages AS q
                WHERE q.organization_id = c.id AND q.vt > c.mark AND q.vt <= due_at
                ORDER BY q.vt
                LIMIT share
            ) AS x
        ) AS f
        WHERE f.waiting > 0
    LOOP
        EXIT WHEN v_room = 0 OR cardinality(organizations) >= most;
        due := due + 1;
        -- One worker at a time takes from an organization: that keeps order and spares deadlocks.
        IF pg_try_advisory_xact_lock(mqtt.processing_lock(), hashtext(v_next.id::text)) THEN
            organizations := organizations || v_next.id;
            -- What is dead has been read once now, and need not be again when rows are taken.
            firsts := firsts || v_next.first - interval '1 microsecond';
            waiting := waiting || least(v_next.waiting, v_room)::integer;
            v_room := v_room - least(v_next.waiting, v_room)::integer;
            CONTINUE WHEN v_next.waiting < share;
        ELSE
            busy := coalesce(busy, v_next.id);
        END IF;
        kept := kept || v_next.id;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION mqtt.lock_organizations(jsonb, uuid, timestamptz, integer, integer, integer, uuid []) IS
'Locks organizations with due messages for this transaction, those after start first, until there is no room for more messages: with the time before the first and how many are due (at most share). kept: those that will have more; busy: the first that another worker is at; due: how many had any. Passes over those that are paused. A part of mqtt.due_messages.';

CREATE OR REPLACE FUNCTION mqtt.wait_for_organization(organization_id uuid, mark timestamptz, due_at timestamptz) RETURNS timestamptz
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- Further settings are those of mqtt.due_messages, which calls it.
AS $$
DECLARE
    v_lock_timeout CONSTANT text := current_setting('lock_timeout');
BEGIN
    PERFORM set_config('lock_timeout', '50ms', true);
    PERFORM pg_advisory_xact_lock(mqtt.processing_lock(), hashtext(organization_id::text));
    PERFORM set_config('lock_timeout', v_lock_timeout, true);
    RETURN (
        SELECT q.vt
        FROM pgmq.q_mqtt_messages AS q
        WHERE q.organization_id = wait_for_organization.organization_id AND q.vt > mark AND q.vt <= due_at
        ORDER BY q.vt
        LIMIT 1
    );
EXCEPTION
    WHEN lock_not_available THEN
        RETURN NULL;
END;
$$;
COMMENT ON FUNCTION mqtt.wait_for_organization(uuid, timestamptz, timestamptz) IS
'Waits a moment in line for an organization that another worker is at: when its first due message is due, once it is locked. A part of mqtt.due_messages.';
COMMIT;

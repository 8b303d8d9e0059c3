-- Deploy topicbase:process/split_items to pg
-- requires: tables/queues
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.split_item(item tid, lengths integer []) RETURNS tid []
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- As in mqtt.store_messages: rows by address and key, however the tables stood when the plan was made.
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_parts tid [];
BEGIN
    WITH gone AS (
        DELETE FROM pgmq.q_mqtt_messages AS q
        WHERE q.ctid = item AND q.message_count > 1
        RETURNING q.*
    ),
    whole AS MATERIALIZED (
        SELECT
            g.msg_id, g.read_ct, g.enqueued_at, g.vt, g.organization_id, g.integration_id, g.credential_id, g.message_count, g.organization,
            -- Read into memory once, and not for each part.
            CASE WHEN g.bodies IS NOT NULL THEN g.bodies || '{}'::bytea [] END AS bodies
        FROM gone AS g
    ),
    part AS (
        INSERT INTO pgmq.q_mqtt_messages AS q (
            msg_id, read_ct, enqueued_at, vt, organization_id, integration_id, credential_id, message_count, organization, bodies
        )
        OVERRIDING SYSTEM VALUE
        SELECT
            w.msg_id + l.before, w.read_ct, w.enqueued_at, w.vt + (l.place - 1) * interval '1 microsecond', w.organization_id, w.integration_id, w.credential_id,
            l.n, w.organization, w.bodies[l.before + 1:l.before + l.n]
        FROM whole AS w
        CROSS JOIN LATERAL (
            SELECT x.n, x.place, (sum(x.n) OVER (ORDER BY x.place) - x.n)::integer AS before
            FROM (
                SELECT u.n, u.place FROM unnest(lengths) WITH ORDINALITY AS u (n, place)
                UNION ALL
                SELECT w.message_count - coalesce((SELECT sum(u.n) FROM unnest(lengths) AS u (n)), 0), cardinality(lengths) + 1
                WHERE lengths IS NOT NULL
                UNION ALL
                SELECT 1, g.place FROM generate_series(1, w.message_count) AS g (place) WHERE lengths IS NULL
            ) AS x
            WHERE x.n > 0
        ) AS l
        RETURNING q.ctid, q.msg_id
    )
    SELECT array_agg(p.ctid ORDER BY p.msg_id) INTO v_parts FROM part AS p;
    RETURN coalesce(v_parts, ARRAY[item]);
END;
$$;
COMMENT ON FUNCTION mqtt.split_item(tid, integer []) IS
'Splits a work item, by row address, into items of so many messages and one of the rest; null: of one message each. Returns their addresses, or that of a row that stands for one message.';

CREATE OR REPLACE FUNCTION mqtt.cut_items(tids tid [], cuts jsonb) RETURNS tid []
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_cut record;
    v_tids tid [] := tids;
BEGIN
    FOR v_cut IN SELECT c.key::tid AS tid, c.value::integer AS n FROM jsonb_each_text(cuts) AS c LOOP
        v_tids[array_position(v_tids, v_cut.tid)] := (mqtt.split_item(v_cut.tid, ARRAY[v_cut.n]))[1];
    END LOOP;
    RETURN v_tids;
END;
$$;
COMMENT ON FUNCTION mqtt.cut_items(tid [], jsonb) IS
'Row addresses of a batch, where for work items of which cuts names a number only their first messages are left, and the queue has the rest.';

CREATE OR REPLACE FUNCTION mqtt.split_items(tids tid []) RETURNS tid []
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_tid tid;
    v_all tid [] := '{}';
BEGIN
    FOREACH v_tid IN ARRAY tids LOOP
        v_all := v_all || mqtt.split_item(v_tid, NULL);
    END LOOP;
    RETURN v_all;
END;
$$;
COMMENT ON FUNCTION mqtt.split_items(tid []) IS 'Splits all of these rows of the queue into such of one message each; returns their addresses.';

CREATE OR REPLACE FUNCTION mqtt.item_of(message_position bigint) RETURNS TABLE (msg_id bigint, organization_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT q.msg_id, q.organization_id
    FROM (
        SELECT x.msg_id, x.organization_id, x.message_count, x.organization
        FROM pgmq.q_mqtt_messages AS x
        WHERE x.msg_id <= message_position AND x.msg_id > message_position - 1048576
        ORDER BY x.msg_id DESC
        LIMIT 1
    ) AS q
    WHERE q.organization IS NOT NULL AND message_position < q.msg_id + q.message_count;
$$;
COMMENT ON FUNCTION mqtt.item_of(bigint) IS 'The work item that stands for the message of the history with this position; none once it is settled.';

CREATE OR REPLACE FUNCTION mqtt.is_pending(message_position bigint) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (SELECT FROM mqtt.item_of(message_position));
$$;
COMMENT ON FUNCTION mqtt.is_pending(bigint) IS 'Whether the effects of the message of the history with this position are still to come.';
GRANT EXECUTE ON FUNCTION mqtt.is_pending(bigint) TO authenticated, service_role;

CREATE OR REPLACE FUNCTION mqtt.isolate_message(message_position bigint) RETURNS tid
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_item pgmq.q_mqtt_messages;
    v_tid tid;
BEGIN
    SELECT q.* INTO v_item FROM pgmq.q_mqtt_messages AS q WHERE q.msg_id = (SELECT i.msg_id FROM mqtt.item_of(message_position) AS i) FOR UPDATE;
    SELECT q.ctid INTO v_tid FROM pgmq.q_mqtt_messages AS q WHERE q.msg_id = v_item.msg_id;
    IF v_item.message_count > 1 THEN
        PERFORM mqtt.split_item(v_tid, ARRAY[(message_position - v_item.msg_id)::integer, 1]);
        SELECT q.ctid INTO v_tid FROM pgmq.q_mqtt_messages AS q WHERE q.msg_id = message_position;
    END IF;
    RETURN v_tid;
END;
$$;
COMMENT ON FUNCTION mqtt.isolate_message(bigint) IS
'The row of the queue that stands for the message of the history with this position alone, split off its work item if need be; null when it is settled.';
COMMIT;

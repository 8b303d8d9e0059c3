-- Deploy topicbase:process/share_due to pg
-- requires: tables/queues
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.share_due(
    organizations uuid [], firsts timestamptz [], waiting integer [], share integer, room integer, due_at timestamptz, margin interval,
    busy_margin interval
) RETURNS TABLE (tids tid [], marks jsonb)
LANGUAGE sql STABLE SECURITY INVOKER ROWS 1
BEGIN ATOMIC
    WITH due AS MATERIALIZED (
        SELECT
            o.id,
            o.mark,
            CASE
                WHEN s.share = share_due.share THEN o.waiting
                WHEN cardinality(organizations) = 1 THEN room
                ELSE (
                    SELECT count(*)
                    FROM (
                        SELECT FROM pgmq.q_mqtt_messages AS q WHERE q.organization_id = o.id AND q.vt > o.mark AND q.vt <= due_at LIMIT s.share
                    ) AS x
                )
            END AS waiting,
            s.share
        FROM unnest(organizations, firsts, share_due.waiting) AS o (id, mark, waiting)
        CROSS JOIN (SELECT greatest(share_due.share, ceil(room::numeric / greatest(1, cardinality(organizations))))) AS s (share)
    ),
    -- What some organizations do not need of their share goes to those that do.
    spare AS (
        SELECT greatest(0, floor((room - sum(d.waiting)) / nullif(count(*) FILTER (WHERE d.waiting = d.share), 0)))::bigint AS each FROM due AS d
    ),
    taken AS MATERIALIZED (
        SELECT t.*
        FROM due AS d
        CROSS JOIN spare AS s  -- noqa: AL05
        CROSS JOIN LATERAL (
            SELECT q.organization_id, q.ctid AS tid, q.vt
            FROM pgmq.q_mqtt_messages AS q
            WHERE q.organization_id = d.id AND q.vt > d.mark AND q.vt <= due_at
            ORDER BY q.vt
            LIMIT d.waiting + CASE WHEN d.waiting = d.share THEN coalesce(s.each, 0) ELSE 0 END
        ) AS t
    )
    SELECT coalesce(array_agg(t.tid), '{}'), (SELECT jsonb_object_agg(m.organization_id, m.mark) FROM (
        -- Where many were taken, others come soon.
        SELECT x.organization_id, max(x.vt) - CASE WHEN (SELECT count(*) FROM taken) * 10 >= room THEN busy_margin ELSE margin END AS mark
        FROM taken AS x
        GROUP BY x.organization_id
    ) AS m)
    FROM taken AS t;
END;
COMMENT ON FUNCTION mqtt.share_due(uuid [], timestamptz [], integer [], integer, integer, timestamptz, interval, interval) IS
'Row addresses of due messages of these organizations, oldest first, as many as there is room for: each organization has its share, and what some do not need of theirs goes to the others. marks: where to go on reading each, a margin before the last taken. A part of mqtt.due_messages.';
COMMIT;

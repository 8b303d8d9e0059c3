-- Deploy topicbase:process/share_due to pg
-- requires: tables/queues
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.share_due(
    organizations uuid [], firsts timestamptz [], waiting integer [], share integer, room integer, most integer, due_at timestamptz, margin interval,
    busy_margin interval
) RETURNS TABLE (tids tid [], messages integer, cuts jsonb, marks jsonb)
LANGUAGE sql STABLE SECURITY INVOKER ROWS 1
BEGIN ATOMIC
    WITH due AS MATERIALIZED (
        SELECT
            o.id,
            o.mark,
            CASE
                WHEN s.share = share_due.share THEN o.waiting
                WHEN cardinality(organizations) = 1 THEN least(room, most)
                ELSE (
                    SELECT least(coalesce(sum(x.message_count), 0), s.share)
                    FROM (
                        SELECT q.message_count
                        FROM pgmq.q_mqtt_messages AS q
                        WHERE q.organization_id = o.id AND q.vt > o.mark AND q.vt <= due_at
                        ORDER BY q.vt
                        LIMIT s.share
                    ) AS x
                )
            END AS waiting,
            s.share
        FROM unnest(organizations, firsts, share_due.waiting) AS o (id, mark, waiting)
        CROSS JOIN (SELECT greatest(share_due.share, least(ceil(room::numeric / greatest(1, cardinality(organizations))), most))) AS s (share)
    ),
    -- What some organizations do not need of their share goes to those that do.
    spare AS (
        SELECT greatest(0, least(floor((room - sum(d.waiting)) / nullif(count(*) FILTER (WHERE d.waiting = d.share), 0)), most - max(d.share)))::bigint AS each
        FROM due AS d
    ),
    taken AS MATERIALIZED (
        SELECT t.organization_id, t.tid, t.vt, t.message_count, least(t.message_count, t.room - t.before) AS taken
        FROM due AS d
        CROSS JOIN spare AS s  -- noqa: AL05
        CROSS JOIN LATERAL (
            SELECT x.*, sum(x.message_count) OVER (ORDER BY x.vt ROWS UNBOUNDED PRECEDING) - x.message_count AS before
            FROM (
                SELECT q.organization_id, q.ctid AS tid, q.vt, q.message_count, r.room
                FROM pgmq.q_mqtt_messages AS q
                CROSS JOIN (SELECT d.waiting + CASE WHEN d.waiting = d.share THEN coalesce(s.each, 0) ELSE 0 END AS room) AS r
                WHERE q.organization_id = d.id AND q.vt > d.mark AND q.vt <= due_at
                ORDER BY q.vt
                LIMIT d.waiting + CASE WHEN d.waiting = d.share THEN coalesce(s.each, 0) ELSE 0 END
            ) AS x
        ) AS t
        WHERE t.before < t.room
    )
    SELECT coalesce(array_agg(t.tid), '{}'), coalesce(sum(t.taken), 0)::integer,
        jsonb_object_agg(t.tid, t.taken) FILTER (WHERE t.taken < t.message_count), (SELECT jsonb_object_agg(m.organization_id, m.mark) FROM (
        -- Where many were taken, others come soon.
        SELECT x.organization_id, max(x.vt) - CASE WHEN (SELECT sum(y.taken) FROM taken AS y) * 10 >= room THEN busy_margin ELSE margin END AS mark
        FROM taken AS x
        GROUP BY x.organization_id
    ) AS m)
    FROM taken AS t;
END;
COMMENT ON FUNCTION mqtt.share_due(uuid [], timestamptz [], integer [], integer, integer, integer, timestamptz, interval, interval) IS
'Row addresses of due messages of these organizations, oldest first, as many as there is room for (messages in all; cuts: of which work items only so many): each organization has its share, and what some do not need of theirs goes to the others, of whom none has more than `most`. marks: where to go on reading each, a margin before the last taken. A part of mqtt.due_messages.';
COMMIT;

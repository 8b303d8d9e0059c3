-- Deploy topicbase:maintenance/check_ledger to pg
-- requires: tables/history
-- requires: tables/ledger
-- requires: tables/queues
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.check_ledger(is_full boolean DEFAULT true) RETURNS TABLE (
    organization_id uuid, hour timestamptz, accepted bigint, completed bigint, dead bigint, expired bigint, queued bigint, difference bigint
)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    -- One statement, hence one snapshot: it sees counters and rows at the same instant.
    SELECT x.*, x.accepted - x.completed - x.dead - x.expired - x.queued
    FROM (
        SELECT
            t.organization_id, t.hour, sum(t.accepted)::bigint AS accepted, sum(t.completed)::bigint AS completed, sum(t.dead)::bigint AS dead,
            sum(t.expired)::bigint AS expired, sum(t.queued)::bigint AS queued
        FROM (
            SELECT l.organization_id, date_trunc('hour', l.bucket) AS hour, l.accepted, l.completed, l.dead, l.expired, 0 AS queued
            FROM mqtt.ledger AS l
            WHERE l.shard > mqtt.ledger_level_settled()
            UNION ALL
            SELECT l.organization_id, date_trunc('hour', l.bucket), l.accepted, l.completed, l.dead, l.expired, 0
            FROM mqtt.ledger AS l
            WHERE is_full AND l.shard = mqtt.ledger_level_settled()
            UNION ALL
            SELECT q.organization_id, date_trunc('hour', q.enqueued_at), 0, 0, 0, 0, q.message_count
            FROM pgmq.q_mqtt_messages AS q
        ) AS t
        GROUP BY t.organization_id, t.hour
    ) AS x
    WHERE x.accepted <> x.completed + x.dead + x.expired + x.queued;
$$;
COMMENT ON FUNCTION mqtt.check_ledger(boolean) IS
'Hours of an organization in which accepted differs from completed + dead + expired + queued: none, unless messages were lost, duplicated or deleted by hand. With is_full false, hours that were found settled before are not checked again.';

CREATE OR REPLACE FUNCTION mqtt.check_stored(since timestamptz, until timestamptz DEFAULT 'infinity') RETURNS TABLE (
    organization_id uuid, hour timestamptz, accepted bigint, completed bigint, dead bigint, expired bigint, queued bigint, difference bigint
)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT l.organization_id, l.hour, l.accepted, l.completed, l.dead, l.expired, 0::bigint, l.completed - l.deleted - coalesce(s.stored, 0)
    FROM (
        SELECT
            x.organization_id, date_trunc('hour', x.bucket) AS hour, sum(x.accepted)::bigint AS accepted, sum(x.completed)::bigint AS completed,
            sum(x.dead)::bigint AS dead, sum(x.expired)::bigint AS expired, sum(x.deleted)::bigint AS deleted
        FROM mqtt.ledger AS x
        WHERE x.bucket >= date_trunc('hour', check_stored.since) AND x.bucket < check_stored.until
        GROUP BY 1, 2
    ) AS l
    INNER JOIN mqtt.organizations AS t ON t.id = l.organization_id AND (t.history_trimmed_to IS NULL OR t.history_trimmed_to <= l.hour)
    LEFT JOIN (
        SELECT o.id, date_trunc('hour', h.received_at) AS hour, count(*) AS stored
        FROM mqtt.history AS h
        INNER JOIN mqtt.organizations AS o ON o.number = h.organization
        -- What was published is not in the ledger, and what failed counts as dead there.
        WHERE h.received_at >= date_trunc('hour', check_stored.since) AND h.received_at < check_stored.until AND h.flags & (8 + 256) = 0
        GROUP BY 1, 2
    ) AS s ON s.id = l.organization_id AND s.hour = l.hour
    WHERE l.completed - l.deleted > coalesce(s.stored, 0);
$$;
COMMENT ON FUNCTION mqtt.check_stored(timestamptz, timestamptz) IS
'Hours of an organization, from that of a time on and before another, in which the history has fewer messages than the ledger counts as completed and not deleted since: none, unless rows were deleted by hand. It counts the rows, so the range is to be short; of days whose packed rows are dropped, and of those past their term, it knows nothing.';

CREATE OR REPLACE FUNCTION mqtt.count_lacking(day date, fate text) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    v_lacking CONSTANT bigint := (SELECT sum(l.difference) FROM mqtt.check_stored(day::timestamptz, (day + 1)::timestamptz) AS l);
BEGIN
    IF v_lacking > 0 THEN
        RAISE LOG 'topicbase: the history of % lacks % messages that the ledger counts as completed, and is %', day, v_lacking, fate;
    END IF;
    RETURN v_lacking;
END;
$$;
COMMENT ON FUNCTION mqtt.count_lacking(date, text) IS
'How many messages of a day (UTC) mqtt.check_stored misses, the last time that its rows can be counted: null if none. Says so in the server''s log, with what becomes of the day (packed, dropped).';
COMMIT;

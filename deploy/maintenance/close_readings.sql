-- Deploy topicbase:maintenance/close_readings to pg
-- requires: base/locks
-- requires: tables/history
-- requires: tables/ledger
-- requires: tables/packs
-- requires: tables/queues
-- requires: tables/reading_rows
-- requires: tables/rollups
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.closable_until(organization_id uuid, at timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN o.minute IS NULL OR NOT EXISTS (
            SELECT FROM pgmq.q_mqtt_messages AS q WHERE q.organization_id = closable_until.organization_id AND q.enqueued_at < closable_until.at
        ) THEN date_bin('10 minutes', closable_until.at, 'epoch')
        ELSE date_bin('10 minutes', o.minute, 'epoch')
    END
    FROM (
        -- The ledger has a row for each minute, where the queue has one for each message.
        SELECT min(x.bucket) AS minute
        FROM (
            SELECT l.bucket
            FROM mqtt.ledger AS l
            WHERE l.organization_id = closable_until.organization_id AND l.shard > mqtt.ledger_level_settled() AND l.bucket < closable_until.at
            GROUP BY l.bucket
            HAVING sum(l.accepted) > sum(l.completed + l.dead + l.expired)
        ) AS x
    ) AS o;
$$;
COMMENT ON FUNCTION mqtt.closable_until(uuid, timestamptz) IS
'Until when, in steps of ten minutes, no message that was accepted and is still queued may have been measured: at, unless older ones wait.';

CREATE OR REPLACE FUNCTION mqtt.first_measured_at(organization_id uuid) RETURNS timestamptz
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
    SELECT min(f.measured_at)
    FROM mqtt.topics AS t
    CROSS JOIN LATERAL (
        -- From the tables, whose indexes are in this order; the view of readings would be sorted, all of a topic.
        (SELECT h.measured_at FROM mqtt.history AS h WHERE h.topic = t.number ORDER BY h.measured_at LIMIT 1)
        UNION ALL
        (SELECT r.measured_at FROM mqtt.reading_rows AS r WHERE r.topic = t.number ORDER BY r.measured_at LIMIT 1)
        UNION ALL
        SELECT min(p.first_measured_at) FROM mqtt.packs AS p WHERE p.topic = t.number
    ) AS f
    WHERE t.organization_id = first_measured_at.organization_id AND t.device_id IS NOT NULL AND t.role = 'telemetry';
$$;
COMMENT ON FUNCTION mqtt.first_measured_at(uuid) IS 'When the oldest message of an organization''s telemetry was measured that is kept, or earlier; null if it has none.';

CREATE OR REPLACE FUNCTION mqtt.lock_processing(organization_id uuid, waits boolean) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '200ms'
AS $$
BEGIN
    IF NOT waits THEN
        RETURN pg_try_advisory_xact_lock(mqtt.processing_lock(), hashtext(organization_id::text));
    END IF;
    PERFORM pg_advisory_xact_lock(mqtt.processing_lock(), hashtext(organization_id::text));
    RETURN true;
EXCEPTION
    WHEN lock_not_available THEN
        RETURN false;
END;
$$;
COMMENT ON FUNCTION mqtt.lock_processing(uuid, boolean) IS
'Takes the lock of whoever processes an organization, until the end of the transaction; waits a moment for it if told so. True if acquired.';

CREATE OR REPLACE FUNCTION mqtt.close_readings(at timestamptz DEFAULT now() - interval '1 minute') RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    v_next record;
    v_closed integer := 0;
    v_waits boolean := true;
BEGIN
    FOR v_next IN
        SELECT o.id, p.closed_until, CASE WHEN p.closed_until IS NOT NULL THEN mqtt.closable_until(o.id, at) END AS until
        FROM mqtt.organizations AS o
        LEFT JOIN mqtt.rollup_progress AS p ON p.organization_id = o.id
        WHERE p.closed_until IS NULL OR p.closed_until < date_bin('10 minutes', at, 'epoch')
        ORDER BY random()
        LIMIT 500
    LOOP
        CONTINUE WHEN v_next.until <= v_next.closed_until;
        -- Nobody stores its messages meanwhile, so that whoever stores one knows whether it is late.
        IF NOT mqtt.lock_processing(v_next.id, false) AND NOT (v_waits AND mqtt.lock_processing(v_next.id, true)) THEN
            v_waits := false;
            CONTINUE;
        END IF;
        INSERT INTO mqtt.rollup_progress AS p (organization_id, closed_until, rolled_until, rolling_until)
        SELECT s.id, s.at, s.at, s.at
        FROM (SELECT v_next.id, date_trunc('hour', least(mqtt.first_measured_at(v_next.id), close_readings.at)) AS at) AS s
        WHERE v_next.closed_until IS NULL;
        UPDATE mqtt.rollup_progress AS p SET closed_until = v_next.until WHERE p.organization_id = v_next.id AND p.closed_until < v_next.until;
        v_closed := v_closed + 1;
    END LOOP;
    RETURN v_closed;
END;
$$;
COMMENT ON FUNCTION mqtt.close_readings(timestamptz) IS
'Closes the time until then, in steps of ten minutes, for each organization of which no older message is queued; returns for how many. What is stored of that time afterwards, is late. Its locks last until the end of the transaction: so it comes last.';
COMMIT;

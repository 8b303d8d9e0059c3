-- Deploy topicbase:maintenance/close_readings to pg
-- requires: base/locks
-- requires: maintenance/failures
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

CREATE OR REPLACE FUNCTION mqtt.try_closable(organization_id uuid, closed_until timestamptz, at timestamptz) RETURNS timestamptz
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_until timestamptz;
BEGIN
    IF mqtt.must_wait('closing', 'organization ' || organization_id) THEN
        RETURN NULL;
    END IF;
    v_until := CASE WHEN closed_until IS NULL THEN 'infinity' ELSE mqtt.closable_until(organization_id, at) END;
    RETURN CASE WHEN v_until <= closed_until THEN NULL ELSE v_until END;
EXCEPTION
    -- OTHERS does not include the time limit.
    WHEN query_canceled OR OTHERS THEN
        PERFORM mqtt.note_failure('closing', 'organization ' || organization_id, SQLSTATE, SQLERRM);
        RETURN NULL;
END;
$$;
COMMENT ON FUNCTION mqtt.try_closable(uuid, timestamptz, timestamptz) IS
'Until when an organization''s time can be closed, where that is later than closed_until; infinity if none is closed. Null also if that cannot be found out, which is noted.';

CREATE OR REPLACE FUNCTION mqtt.try_close(organization_id uuid, until timestamptz, at timestamptz) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
-- Whoever waits for this one has locked the processing of others.
SET lock_timeout = '200ms'
AS $$
BEGIN
    IF mqtt.must_wait('closing', 'organization ' || organization_id) THEN
        RETURN false;
    END IF;
    INSERT INTO mqtt.rollup_progress AS p (organization_id, closed_until, rolled_until, rolling_until)
    SELECT try_close.organization_id, s.at, s.at, s.at
    FROM (SELECT date_trunc('hour', least(mqtt.first_measured_at(try_close.organization_id), try_close.at)) AS at) AS s
    WHERE until = 'infinity';
    UPDATE mqtt.rollup_progress AS p
    SET closed_until = until
    WHERE p.organization_id = try_close.organization_id AND p.closed_until < until AND until < 'infinity';
    PERFORM mqtt.note_success('closing', 'organization ' || organization_id);
    RETURN true;
EXCEPTION
    WHEN query_canceled OR OTHERS THEN
        PERFORM mqtt.note_failure('closing', 'organization ' || organization_id, SQLSTATE, SQLERRM);
        RETURN false;
END;
$$;
COMMENT ON FUNCTION mqtt.try_close(uuid, timestamptz, timestamptz) IS
'Closes an organization''s time until then (mqtt.try_closable), with its lock of processing (mqtt.lock_processing); false if that failed, which is noted.';

CREATE OR REPLACE FUNCTION mqtt.close_readings(at timestamptz DEFAULT now() - interval '1 minute') RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    v_ids uuid [];
    v_untils timestamptz [];
    v_next record;
    v_closed integer := 0;
    v_waits boolean := true;
BEGIN
    -- Before the first lock, as this may take its time.
    SELECT array_agg(x.id), array_agg(x.until) INTO v_ids, v_untils
    FROM (
        SELECT o.id, mqtt.try_closable(o.id, p.closed_until, at) AS until
        FROM mqtt.organizations AS o
        LEFT JOIN mqtt.rollup_progress AS p ON p.organization_id = o.id
        WHERE p.closed_until IS NULL OR p.closed_until < date_bin('10 minutes', at, 'epoch')
        ORDER BY random()
        LIMIT 500
    ) AS x
    WHERE x.until IS NOT NULL;
    FOR v_next IN SELECT x.* FROM unnest(v_ids, v_untils) AS x (id, until) LOOP
        -- Nobody stores its messages meanwhile, so that whoever stores one knows whether it is late.
        IF NOT mqtt.lock_processing(v_next.id, false) AND NOT (v_waits AND mqtt.lock_processing(v_next.id, true)) THEN
            v_waits := false;
            CONTINUE;
        END IF;
        v_closed := v_closed + mqtt.try_close(v_next.id, v_next.until, at)::integer;
    END LOOP;
    RETURN v_closed;
END;
$$;
COMMENT ON FUNCTION mqtt.close_readings(timestamptz) IS
'Closes the time until then, in steps of ten minutes, for each organization of which no older message is queued; returns for how many. What is stored of that time afterwards, is late. Its locks last until the end of the transaction: so it comes last.';
COMMIT;

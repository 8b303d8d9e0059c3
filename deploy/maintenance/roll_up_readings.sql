-- Deploy topicbase:maintenance/roll_up_readings to pg
-- requires: maintenance/close_readings
-- requires: maintenance/roll_up_organization
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.trim_rollups(most integer) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    p mqtt.rollup_progress;
    v_removed bigint := 0;
    v_rows bigint;
    v_minutes bigint;
BEGIN
    UPDATE mqtt.rollup_progress AS r
    SET hours_since = greatest(r.hours_since, x.hours_since), minutes_since = greatest(r.minutes_since, x.minutes_since), is_trimmed = false
    FROM (
        SELECT
            o.id, date_trunc('day', now() - make_interval(days => coalesce(o.rollup_days, c.rollup_days))) AS hours_since,
            date_trunc('day', now() - make_interval(days => coalesce(o.rollup_minute_days, c.rollup_minute_days))) AS minutes_since
        FROM mqtt.organizations AS o
        CROSS JOIN mqtt.configuration AS c
    ) AS x
    WHERE r.organization_id = x.id AND (r.hours_since < x.hours_since OR r.minutes_since < x.minutes_since);
    FOR p IN SELECT r.* FROM mqtt.rollup_progress AS r WHERE NOT r.is_trimmed ORDER BY random() LOOP
        EXIT WHEN v_removed >= most;
        DELETE FROM mqtt.rollups AS r
        WHERE r.ctid = ANY (ARRAY(
            SELECT x.ctid
            FROM mqtt.rollup_series AS s
            JOIN mqtt.rollups AS x ON x.organization_id = s.organization_id AND x.series_id = s.id
            WHERE s.organization_id = p.organization_id AND x.hours IN (1, 24) AND x.starts_at < p.hours_since
            LIMIT most - v_removed
        ));
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        DELETE FROM mqtt.rollup_minutes AS r
        WHERE r.ctid = ANY (ARRAY(
            SELECT x.ctid
            FROM mqtt.rollup_series AS s
            JOIN mqtt.rollup_minutes AS x ON x.organization_id = s.organization_id AND x.series_id = s.id
            WHERE s.organization_id = p.organization_id AND x.starts_at < greatest(p.minutes_since, p.hours_since)
            LIMIT most - v_removed
        ));
        GET DIAGNOSTICS v_minutes = ROW_COUNT;
        IF greatest(v_rows, v_minutes) < most - v_removed THEN
            UPDATE mqtt.rollup_progress AS r SET is_trimmed = true WHERE r.organization_id = p.organization_id;
        END IF;
        v_removed := v_removed + v_rows + v_minutes;
    END LOOP;
    RETURN v_removed;
END;
$$;
COMMENT ON FUNCTION mqtt.trim_rollups(integer) IS
'Deletes rollups that are older than their organization''s terms, about this many in a call; returns how many. Queries leave them out from the first call on.';

CREATE OR REPLACE FUNCTION mqtt.try_roll_up(organization_id uuid, most bigint, OUT numbers bigint, OUT failure jsonb)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
BEGIN
    numbers := mqtt.roll_up_organization(organization_id, most);
    UPDATE mqtt.rollup_progress AS p SET failed_at = NULL, failure = NULL WHERE p.organization_id = try_roll_up.organization_id AND p.failed_at IS NOT NULL;
EXCEPTION
    -- OTHERS does not include the time limit.
    WHEN query_canceled OR OTHERS THEN
        RAISE LOG 'topicbase: rollups of organization % failed: % (%)', organization_id, SQLERRM, SQLSTATE;
        numbers := 0;
        failure := jsonb_build_object('organization_id', organization_id, 'sqlstate', SQLSTATE, 'reason', left(SQLERRM, 500));
        UPDATE mqtt.rollup_progress AS p
        SET failed_at = clock_timestamp(), failure = try_roll_up.failure ->> 'reason'
        WHERE p.organization_id = try_roll_up.organization_id;
END;
$$;
COMMENT ON FUNCTION mqtt.try_roll_up(uuid, bigint) IS
'mqtt.roll_up_organization in a subtransaction, so that what fails is of one organization: it is noted in mqtt.rollup_progress, and failure is `{"organization_id", "sqlstate", "reason"}`.';

CREATE OR REPLACE FUNCTION mqtt.roll_up_readings(most integer DEFAULT 100000) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    v_next record;
    v_done record;
    v_read bigint := 0;
    v_removed bigint := 0;
    v_closed integer := 0;
    v_failed jsonb := '[]';
BEGIN
    FOR v_next IN
        SELECT p.organization_id, greatest(1000, most / count(*) OVER ()) AS share
        FROM mqtt.rollup_progress AS p
        WHERE (p.rolled_until < p.closed_until OR EXISTS (SELECT FROM mqtt.late_readings AS l WHERE l.organization_id = p.organization_id))
            AND (p.failed_at IS NULL OR clock_timestamp() NOT BETWEEN p.failed_at AND p.failed_at + interval '5 minutes')
        -- Each gets its share, in random order, so that none is always last; but for those that failed, which may take all the time there is.
        ORDER BY p.failed_at IS NOT NULL, random()
    LOOP
        EXIT WHEN v_read >= most;
        v_done := mqtt.try_roll_up(v_next.organization_id, v_next.share);
        v_read := v_read + v_done.numbers;
        v_failed := v_failed || coalesce(v_done.failure, '[]');
        -- The time limit is for the whole call, and comes once only.
        EXIT WHEN v_done.failure ->> 'sqlstate' = '57014';
    END LOOP;
    IF v_failed -> -1 ->> 'sqlstate' IS DISTINCT FROM '57014' THEN
        v_removed := mqtt.trim_rollups(most);
        v_closed := mqtt.close_readings();
    END IF;
    RETURN jsonb_build_object(
        'numbers_rolled_up', v_read, 'rollups_removed', v_removed, 'more', v_closed > 0 OR v_removed >= most OR v_read >= most OR EXISTS (
            SELECT FROM mqtt.rollup_progress AS p WHERE p.rolled_until < p.closed_until AND p.failed_at IS NULL
        )
    ) || CASE WHEN v_failed <> '[]' THEN jsonb_build_object('rollups_failed', v_failed) ELSE '{}' END;
END;
$$;
COMMENT ON FUNCTION mqtt.roll_up_readings(integer) IS
'Rolls up readings of closed time, each organization by itself, about so many numbers in a call; removes rollups past their term; closes time for the next call. Returns how much it did, "more" if it should be called again, and in "rollups_failed" the organizations of which this failed (mqtt.try_roll_up), which are left out for five minutes.';
COMMIT;

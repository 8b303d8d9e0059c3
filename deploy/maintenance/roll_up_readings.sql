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

CREATE OR REPLACE FUNCTION mqtt.roll_up_readings(most integer DEFAULT 100000) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    v_next record;
    v_read bigint := 0;
    v_removed bigint;
    v_closed integer;
BEGIN
    FOR v_next IN
        SELECT p.organization_id, greatest(1000, most / count(*) OVER ()) AS share
        FROM mqtt.rollup_progress AS p
        WHERE p.rolled_until < p.closed_until OR EXISTS (SELECT FROM mqtt.late_readings AS l WHERE l.organization_id = p.organization_id)
        -- Each gets its share, in random order, so that none is always last.
        ORDER BY random()
    LOOP
        EXIT WHEN v_read >= most;
        v_read := v_read + mqtt.roll_up_organization(v_next.organization_id, v_next.share);
    END LOOP;
    v_removed := mqtt.trim_rollups(most);
    v_closed := mqtt.close_readings();
    RETURN jsonb_build_object(
        'numbers_rolled_up', v_read, 'rollups_removed', v_removed, 'more', v_closed > 0 OR v_removed >= most OR v_read >= most OR EXISTS (
            SELECT FROM mqtt.rollup_progress AS p WHERE p.rolled_until < p.closed_until
        )
    );
END;
$$;
COMMENT ON FUNCTION mqtt.roll_up_readings(integer) IS
'Rolls up readings of closed time, each organization by itself, about so many numbers in a call; removes rollups past their term; closes time for the next call. Returns how much it did, and "more" if it should be called again.';
COMMIT;

-- Deploy topicbase:maintenance/roll_up_readings to pg
-- requires: maintenance/close_readings
-- requires: maintenance/failures
-- requires: maintenance/roll_up_organization
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.rollup_terms() RETURNS TABLE (organization_id uuid, hours_since timestamptz, minutes_since timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
BEGIN
    RETURN QUERY
    SELECT
        o.id, date_trunc('day', now() - make_interval(days => coalesce(o.rollup_days, c.rollup_days))),
        date_trunc('day', now() - make_interval(days => coalesce(o.rollup_minute_days, c.rollup_minute_days)))
    FROM mqtt.organizations AS o
    CROSS JOIN mqtt.configuration AS c;
END;
$$;
COMMENT ON FUNCTION mqtt.rollup_terms() IS 'From when on each organization''s rollups are kept: of hours and days, and of minutes.';

CREATE OR REPLACE FUNCTION mqtt.trim_rollups_of(organization_id uuid, most bigint) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    p mqtt.rollup_progress;
    v_rows bigint;
    v_minutes bigint;
BEGIN
    UPDATE mqtt.rollup_progress AS r
    SET hours_since = greatest(r.hours_since, x.hours_since), minutes_since = greatest(r.minutes_since, x.minutes_since), is_trimmed = false
    FROM mqtt.rollup_terms() AS x
    WHERE r.organization_id = trim_rollups_of.organization_id AND r.organization_id = x.organization_id
    RETURNING r.* INTO p;
    DELETE FROM mqtt.rollups AS r
    WHERE r.ctid = ANY (ARRAY(
        SELECT x.ctid
        FROM mqtt.rollup_series AS s
        JOIN mqtt.rollups AS x ON x.organization_id = s.organization_id AND x.series_id = s.id
        WHERE s.organization_id = p.organization_id AND x.hours IN (1, 24) AND x.starts_at < p.hours_since
        LIMIT most
    ));
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    DELETE FROM mqtt.rollup_minutes AS r
    WHERE r.ctid = ANY (ARRAY(
        SELECT x.ctid
        FROM mqtt.rollup_series AS s
        JOIN mqtt.rollup_minutes AS x ON x.organization_id = s.organization_id AND x.series_id = s.id
        WHERE s.organization_id = p.organization_id AND x.starts_at < greatest(p.minutes_since, p.hours_since)
        LIMIT most
    ));
    GET DIAGNOSTICS v_minutes = ROW_COUNT;
    UPDATE mqtt.rollup_progress AS r SET is_trimmed = true WHERE r.organization_id = p.organization_id AND greatest(v_rows, v_minutes) < most;
    RETURN v_rows + v_minutes;
END;
$$;
COMMENT ON FUNCTION mqtt.trim_rollups_of(uuid, bigint) IS
'Deletes an organization''s rollups that are older than its terms, about this many; returns how many. Queries leave them out from the first call on.';

CREATE OR REPLACE FUNCTION mqtt.try_organization(step text, organization_id uuid, most bigint) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    v_subject CONSTANT text := 'organization ' || organization_id;
    -- What was too much is less each time.
    v_most CONSTANT bigint := greatest(1, most >> 2 * least(mqtt.failures_of(step, v_subject), 3));
    v_done bigint;
BEGIN
    IF mqtt.must_wait(step, v_subject) THEN
        RETURN 0;
    END IF;
    v_done := CASE step
        WHEN 'rollups' THEN mqtt.roll_up_organization(organization_id, v_most)
        WHEN 'rollup_terms' THEN mqtt.trim_rollups_of(organization_id, v_most)
    END;
    PERFORM mqtt.note_success(step, v_subject);
    RETURN v_done;
EXCEPTION
    -- OTHERS does not include the time limit.
    WHEN query_canceled OR OTHERS THEN
        PERFORM mqtt.note_failure(step, v_subject, SQLSTATE, SQLERRM);
        RETURN 0;
END;
$$;
COMMENT ON FUNCTION mqtt.try_organization(text, uuid, bigint) IS
'A step for one organization in a subtransaction: rollups (mqtt.roll_up_organization) or rollup_terms (mqtt.trim_rollups_of). Returns how much was done; a failure is noted (mqtt.note_failure).';

CREATE OR REPLACE FUNCTION mqtt.trim_rollups(most integer) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_organization_id uuid;
    v_removed bigint := 0;
BEGIN
    FOR v_organization_id IN
        SELECT r.organization_id
        FROM mqtt.rollup_progress AS r
        JOIN mqtt.rollup_terms() AS x ON x.organization_id = r.organization_id
        WHERE NOT r.is_trimmed OR r.hours_since < x.hours_since OR r.minutes_since < x.minutes_since
        ORDER BY random()
    LOOP
        EXIT WHEN v_removed >= most;
        v_removed := v_removed + mqtt.try_organization('rollup_terms', v_organization_id, most - v_removed);
    END LOOP;
    RETURN v_removed;
END;
$$;
COMMENT ON FUNCTION mqtt.trim_rollups(integer) IS
'Deletes rollups that are older than their organization''s terms, about this many in a call; returns how many.';

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
        LEFT JOIN mqtt.maintenance_failures AS f ON f.step = 'rollups' AND f.subject = 'organization ' || p.organization_id
        WHERE (p.rolled_until < p.closed_until OR EXISTS (SELECT FROM mqtt.late_readings AS l WHERE l.organization_id = p.organization_id))
            AND (clock_timestamp() BETWEEN f.failed_at AND f.retry_at) IS NOT TRUE
        -- Each gets its share, in random order, so that none is always last; but for those that failed, which may take all the time there is.
        ORDER BY f.failures NULLS FIRST, random()
    LOOP
        EXIT WHEN v_read >= most;
        v_read := v_read + mqtt.try_organization('rollups', v_next.organization_id, v_next.share);
    END LOOP;
    v_removed := mqtt.trim_rollups(most);
    v_closed := mqtt.close_readings();
    RETURN jsonb_build_object(
        'numbers_rolled_up', v_read, 'rollups_removed', v_removed,
        'more', v_closed > 0 OR v_removed >= most OR v_read >= most OR mqtt.is_timed_out() OR EXISTS (
            SELECT
            FROM mqtt.rollup_progress AS p
            WHERE p.rolled_until < p.closed_until AND mqtt.failures_of('rollups', 'organization ' || p.organization_id) = 0
        )
    ) || mqtt.failed_now('rollups') || mqtt.failed_now('rollup_terms') || mqtt.failed_now('closing');
END;
$$;
COMMENT ON FUNCTION mqtt.roll_up_readings(integer) IS
'Rolls up readings of closed time, each organization by itself, about so many numbers in a call; removes rollups past their term; closes time for the next call. Returns how much it did, "more" if it should be called again, and in "rollups_failed", "rollup_terms_failed" and "closing_failed" the organizations of which this failed (mqtt.failed_now), which are left out for a while.';
COMMIT;

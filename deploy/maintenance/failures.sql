-- Deploy topicbase:maintenance/failures to pg
-- requires: tables/maintenance_failures
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.is_passing(sqlstate text) RETURNS boolean
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT left(is_passing.sqlstate, 2) IN ('08', '40', '53', '55', 'HV');
END;
COMMENT ON FUNCTION mqtt.is_passing(text) IS 'Locks and conflicts, an archive that is down, a full disk: no fault of what is worked on.';

CREATE OR REPLACE FUNCTION mqtt.retry_after(failures integer, sqlstate text) RETURNS interval
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT least(
        interval '10 seconds' * 2 ^ least(retry_after.failures, 20),
        CASE WHEN mqtt.is_passing(retry_after.sqlstate) THEN interval '5 minutes' ELSE interval '1 hour' END
    );
END;
COMMENT ON FUNCTION mqtt.retry_after(integer, text) IS
'How long maintenance leaves out what failed so often in a row: 20 seconds at first, then twice as long each time, up to an hour, or five minutes after what passes by itself.';

CREATE OR REPLACE FUNCTION mqtt.note_failure(step text, subject text, sqlstate text, reason text) RETURNS timestamptz
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_now CONSTANT timestamptz := clock_timestamp();
    v_retry_at timestamptz;
BEGIN
    RAISE LOG 'topicbase: % failed%: % (%)', step, coalesce(' for ' || nullif(subject, ''), ''), reason, sqlstate;
    INSERT INTO mqtt.maintenance_failures AS f (step, subject, sqlstate, failure, failed_at, retry_at, failed_by)
    VALUES (
        note_failure.step, note_failure.subject, note_failure.sqlstate, left(reason, 500), v_now, v_now + mqtt.retry_after(1, note_failure.sqlstate),
        pg_current_xact_id()
    )
    ON CONFLICT ON CONSTRAINT maintenance_failures_pkey DO UPDATE SET
        failures = f.failures + 1, sqlstate = excluded.sqlstate, failure = excluded.failure, failed_at = excluded.failed_at,
        retry_at = v_now + mqtt.retry_after(f.failures + 1, excluded.sqlstate), failed_by = excluded.failed_by
    RETURNING f.retry_at INTO v_retry_at;
    RETURN v_retry_at;
END;
$$;
COMMENT ON FUNCTION mqtt.note_failure(text, text, text, text) IS
'Notes, and logs, that a step of maintenance failed for one subject; returns when it may be tried again (mqtt.must_wait).';

CREATE OR REPLACE FUNCTION mqtt.note_success(step text, subject text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM mqtt.maintenance_failures AS f WHERE f.step = note_success.step AND f.subject = note_success.subject;
END;
$$;
COMMENT ON FUNCTION mqtt.note_success(text, text) IS 'Forgets the failures of a step for one subject.';

CREATE OR REPLACE FUNCTION mqtt.is_timed_out() RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN EXISTS (SELECT FROM mqtt.maintenance_failures AS f WHERE f.sqlstate = '57014' AND f.failed_by = pg_current_xact_id_if_assigned());
END;
$$;
COMMENT ON FUNCTION mqtt.is_timed_out() IS
'Whether a step of maintenance has reached the time limit in this transaction. It is for the whole call, and comes once only: what follows would have none.';

CREATE OR REPLACE FUNCTION mqtt.must_wait(step text, subject text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN mqtt.is_timed_out() OR EXISTS (
        SELECT
        FROM mqtt.maintenance_failures AS f
        WHERE f.step = must_wait.step AND f.subject = must_wait.subject AND clock_timestamp() BETWEEN f.failed_at AND f.retry_at
    );
END;
$$;
COMMENT ON FUNCTION mqtt.must_wait(text, text) IS
'Whether a step of maintenance is left for a later call: it failed for that subject, and it is too early for the next attempt, or this transaction has reached its time limit.';

CREATE OR REPLACE FUNCTION mqtt.failures_of(step text, subject text) RETURNS integer
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN coalesce((SELECT f.failures FROM mqtt.maintenance_failures AS f WHERE f.step = failures_of.step AND f.subject = failures_of.subject), 0);
END;
$$;
COMMENT ON FUNCTION mqtt.failures_of(text, text) IS 'How often in a row a step has failed for that subject.';

CREATE OR REPLACE FUNCTION mqtt.failed_now(step text) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN coalesce((
        SELECT jsonb_build_object(
            failed_now.step || '_failed', jsonb_agg(jsonb_build_object('subject', f.subject, 'sqlstate', f.sqlstate, 'reason', f.failure) ORDER BY f.subject)
        )
        FROM mqtt.maintenance_failures AS f
        WHERE f.step = failed_now.step AND f.failed_by = pg_current_xact_id_if_assigned()
        HAVING count(*) > 0
    ), '{}');
END;
$$;
COMMENT ON FUNCTION mqtt.failed_now(text) IS
'For the answer of a step: `{"<step>_failed": [{"subject", "sqlstate", "reason"}]}` of what failed in this transaction; {} if nothing did.';

CREATE OR REPLACE FUNCTION mqtt.forget_failures() RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM mqtt.maintenance_failures AS f WHERE f.retry_at < now() - interval '1 day';
END;
$$;
COMMENT ON FUNCTION mqtt.forget_failures() IS 'Forgets failures of what nobody has tried again for a day: such as an organization that is gone.';
COMMIT;

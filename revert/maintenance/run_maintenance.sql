-- Deploy topicbase:maintenance/run_maintenance to pg
-- requires: base/prepare_partitions
-- requires: base/vacuum_holders
-- requires: maintenance/check_capacity
-- requires: maintenance/failures
-- requires: maintenance/note_silence
-- requires: maintenance/openapi_document
-- requires: maintenance/pack_days
-- requires: maintenance/repair_clock
-- requires: maintenance/roll_up_ledger
-- requires: maintenance/roll_up_readings
-- requires: maintenance/work_deletions
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.check_health() RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_ledger jsonb;
    v_differences bigint;
    v_holder record;
BEGIN
    SELECT jsonb_build_object(
        'accepted', coalesce(sum(l.accepted), 0), 'completed', coalesce(sum(l.completed), 0),
        'dead', coalesce(sum(l.dead), 0), 'expired', coalesce(sum(l.expired), 0)
    ) INTO v_ledger
    FROM mqtt.ledger AS l;
    SELECT count(*) INTO v_differences FROM mqtt.check_ledger(false);
    IF v_differences > 0 THEN
        RAISE LOG 'topicbase: the ledger of % hours does not add up; SELECT * FROM mqtt.check_ledger() lists them', v_differences;
    END IF;
    SELECT * INTO v_holder FROM mqtt.vacuum_holders() LIMIT 1;
    IF found THEN
        RAISE LOG 'topicbase: vacuum is held back by % % (%), % for % s', v_holder.kind, v_holder.pid, v_holder.name, v_holder.state, v_holder.held_seconds;
    END IF;
    RETURN jsonb_build_object('ledger', v_ledger, 'ledger_differences', v_differences)
        || CASE WHEN v_holder IS NULL THEN '{}' ELSE jsonb_build_object('vacuum_held_by', to_jsonb(v_holder)) END;
END;
$$;
COMMENT ON FUNCTION mqtt.check_health() IS
'Looks for problems and reports them in the server''s log. Returns {"ledger": sums of all time, "ledger_differences": hours that do not add up, "vacuum_held_by": the worst of vacuum_holders()}.';

CREATE OR REPLACE FUNCTION mqtt.log_expired_credentials() RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    WITH expired AS (
        UPDATE mqtt.mqtt_credentials AS c
        SET is_expiry_logged = true
        WHERE NOT c.is_expiry_logged AND c.revoked_at IS NULL AND c.expires_at IS NOT NULL AND c.expires_at <= now()
        RETURNING c.organization_id, c.integration_id, c.id, c.username, c.expires_at
    ),
    logged AS (
        INSERT INTO mqtt.integration_activity_log (organization_id, integration_id, activity_type, status, details)
        SELECT
            e.organization_id, e.integration_id, 'credential_expired', 'success',
            jsonb_build_object('credential_id', e.id, 'username', e.username, 'expires_at', e.expires_at)
        FROM expired AS e
        RETURNING 1
    )
    SELECT count(*) FROM logged;
$$;
COMMENT ON FUNCTION mqtt.log_expired_credentials() IS
'Writes credential_expired to the activity log, once for each credential whose expires_at has passed since the last run; returns how many. Logins are refused from expires_at on, whether this has run or not.';

CREATE OR REPLACE FUNCTION mqtt.try_maintenance(step text) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_done jsonb;
BEGIN
    IF mqtt.must_wait(step, '') THEN
        RETURN '{}';
    END IF;
    v_done := CASE step
        WHEN 'capacity' THEN mqtt.check_capacity()
        WHEN 'deletions' THEN mqtt.work_deletions(50000)
        WHEN 'packing' THEN mqtt.pack_next(100000)
        WHEN 'rollups' THEN mqtt.roll_up_readings()
        WHEN 'retention' THEN mqtt.apply_retention()
        WHEN 'packed_rows' THEN jsonb_strip_nulls(jsonb_build_object('rows_dropped_of', mqtt.drop_packed_rows())) || mqtt.failed_now('packed_rows')
        WHEN 'clock' THEN jsonb_build_object('clock_repaired', mqtt.repair_clock())
        WHEN 'ledger' THEN jsonb_build_object('ledger_rows_rolled_up', mqtt.roll_up_ledger())
        WHEN 'silence' THEN jsonb_build_object('devices_gone_silent', mqtt.note_silence())
        WHEN 'health' THEN mqtt.check_health()
        WHEN 'credentials' THEN jsonb_build_object('credentials_expired', mqtt.log_expired_credentials())
        WHEN 'openapi' THEN (SELECT '{}'::jsonb FROM mqtt.refresh_openapi())
        WHEN 'partitions' THEN (
            SELECT jsonb_strip_nulls(jsonb_build_object('partitions_made', p.made, 'postponed', p.postponed)) FROM mqtt.prepare_partitions() AS p
        )
        WHEN 'topics' THEN jsonb_strip_nulls(jsonb_build_object('topics_removed', mqtt.remove_unused_topics()))
        WHEN 'failures' THEN (SELECT '{}'::jsonb FROM mqtt.forget_failures())
    END - 'more';
    PERFORM mqtt.note_success(step, '');
    RETURN v_done;
EXCEPTION
    -- OTHERS does not include the time limit.
    WHEN query_canceled OR OTHERS THEN
        PERFORM mqtt.note_failure(step, '', SQLSTATE, SQLERRM);
        RETURN jsonb_build_object(step || '_failed', SQLERRM);
END;
$$;
COMMENT ON FUNCTION mqtt.try_maintenance(text) IS
'A step of maintenance whose failure takes nothing else of it back, such as an archive that is down: it is noted, left out for a while (mqtt.must_wait), and the answer is {"<step>_failed": why}.';

CREATE OR REPLACE FUNCTION mqtt.run_periodic_tasks() RETURNS jsonb
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT mqtt.try_maintenance('clock') || mqtt.try_maintenance('ledger') || mqtt.try_maintenance('silence') || mqtt.try_maintenance('health')
        || mqtt.try_maintenance('credentials') || mqtt.try_maintenance('openapi') || mqtt.try_maintenance('failures') || mqtt.try_maintenance('partitions')
        -- Last, as it may hold back who stores messages until the end of the transaction.
        || mqtt.try_maintenance('topics');
$$;
COMMENT ON FUNCTION mqtt.run_periodic_tasks() IS
'The quick part of periodic maintenance, each step by itself (mqtt.try_maintenance): messages hidden by a clock that was set back, the ledger, silent devices, what holds back vacuum, expired credentials, the OpenAPI documents, failures that are long past, partitions made ahead ("postponed" if a lock is not available), unused topics.';

CREATE OR REPLACE FUNCTION mqtt.try_maintenance_lock() RETURNS boolean
LANGUAGE sql VOLATILE SECURITY INVOKER
BEGIN ATOMIC
    SELECT pg_try_advisory_xact_lock(mqtt.maintenance_lock(), 0);
END;
COMMENT ON FUNCTION mqtt.try_maintenance_lock() IS 'Tries to take the maintenance lock for this transaction; true if acquired.';

CREATE OR REPLACE FUNCTION mqtt.run_maintenance() RETURNS jsonb
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN mqtt.try_maintenance_lock() THEN mqtt.try_maintenance('capacity') || mqtt.try_maintenance('deletions')
        || mqtt.try_maintenance('packing') || mqtt.try_maintenance('rollups')
        -- Last, as their locks of partitions last until the end of the transaction, and whoever processes messages waits for them.
        || mqtt.try_maintenance('retention') || mqtt.run_periodic_tasks() || mqtt.try_maintenance('packed_rows') ELSE '{"skipped": true}' END;
$$;
COMMENT ON FUNCTION mqtt.run_maintenance() IS
'All periodic maintenance in one call: capacity, deletions, packing, rollups, retention, mqtt.run_periodic_tasks. What fails ("<step>_failed": why, or for what and why) keeps nothing else from being done; what follows a time limit is done by the next call. One caller at a time; any other gets {"skipped": true}. The bridge does the same in separate calls; without a bridge, SELECT cron.schedule(''topicbase'', ''* * * * *'', ''SELECT mqtt.run_maintenance()'').';
COMMIT;

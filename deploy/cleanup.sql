-- Deploy topicbase:cleanup to pg
-- requires: process_batch
-- requires: mqtt_requests
-- requires: mqtt_publish_receipts
-- requires: mqtt_callbacks
-- requires: intake
-- requires: clock_repair
-- requires: api_check_mqtt_ledger
-- requires: vacuum_holders
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE FUNCTION mqtt.trim_rows(target regclass, time_column text, term text, most integer DEFAULT 10000) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_organization record;
    v_rows bigint;
    v_total bigint := 0;
BEGIN
    -- The partitions go by the longest term; here go the rows of organizations with a shorter one, and what the default partition holds.
    FOR v_organization IN
        SELECT
            o.id,
            now() - make_interval(days => CASE term
                WHEN 'completed_days' THEN coalesce(o.completed_days, c.completed_days)
                WHEN 'failed_days' THEN coalesce(o.failed_days, c.failed_days)
                WHEN 'activity_days' THEN coalesce(o.activity_days, c.activity_days)
            END) AS before
        FROM mqtt.organizations AS o
        CROSS JOIN mqtt.configuration AS c
    LOOP
        EXIT WHEN v_total >= most;
        EXECUTE format(
            'DELETE FROM %s WHERE (organization_id, %I, id) IN (SELECT organization_id, %2$I, id FROM %1$s '
            'WHERE organization_id = $1 AND %2$I < $2 ORDER BY %2$I LIMIT $3)', target, time_column
        ) USING v_organization.id, v_organization.before, most - v_total;
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        v_total := v_total + v_rows;
    END LOOP;
    RETURN v_total;
END;
$$;
COMMENT ON FUNCTION mqtt.trim_rows(regclass, text, text, integer) IS
'Deletes at most so many rows that are older than their organization''s term (a column of configuration and organizations, in days); returns how many.';

CREATE FUNCTION mqtt.cleanup() RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_longest record;
    v_completed bigint;
    v_failed bigint;
    v_activity bigint;
    v_receipts bigint;
    v_keys bigint;
    v_requests bigint;
    v_callbacks bigint;
BEGIN
    SELECT
        greatest(c.completed_days, max(o.completed_days)) AS completed_days,
        greatest(c.failed_days, max(o.failed_days)) AS failed_days,
        greatest(c.activity_days, max(o.activity_days)) AS activity_days,
        c.receipt_days,
        c.idempotency_window
    INTO v_longest
    FROM mqtt.configuration AS c
    LEFT JOIN mqtt.organizations AS o ON true
    GROUP BY c.is_only_row;
    DELETE FROM mqtt.ingest_keys AS k WHERE k.received_at < now() - v_longest.idempotency_window;
    GET DIAGNOSTICS v_keys = ROW_COUNT;
    DELETE FROM mqtt.mqtt_requests AS r WHERE r.created_at < now() - interval '1 day';
    GET DIAGNOSTICS v_requests = ROW_COUNT;
    -- What still waits after the longest term of the history has nothing left to post.
    DELETE FROM mqtt.mqtt_callback_deliveries AS d
    WHERE (d.organization_id, d.id) IN (
        SELECT x.organization_id, x.id
        FROM mqtt.organizations AS o
        CROSS JOIN LATERAL (
            SELECT y.organization_id, y.id
            FROM mqtt.mqtt_callback_deliveries AS y
            WHERE y.organization_id = o.id AND y.created_at < now() - make_interval(days => v_longest.receipt_days)
                AND (y.status <> 'waiting' OR y.created_at < now() - make_interval(days => v_longest.completed_days))
            LIMIT 10000
        ) AS x
        LIMIT 10000
    );
    GET DIAGNOSTICS v_callbacks = ROW_COUNT;
    -- Late and the busiest last, for the table of a dropped partition is locked until the end of the transaction.
    v_receipts := mqtt.drop_partitions('mqtt.mqtt_publish_receipts', v_longest.receipt_days);
    v_failed := mqtt.drop_partitions('mqtt.mqtt_dead_letters', v_longest.failed_days)
        + mqtt.trim_rows('mqtt.mqtt_dead_letters', 'failed_at', 'failed_days');
    v_activity := mqtt.drop_partitions('mqtt.integration_activity_log', v_longest.activity_days)
        + mqtt.trim_rows('mqtt.integration_activity_log', 'created_at', 'activity_days');
    v_completed := mqtt.drop_partitions('mqtt.mqtt_messages', v_longest.completed_days)
        + mqtt.trim_rows('mqtt.mqtt_messages', 'received_at', 'completed_days');
    RETURN jsonb_build_object(
        'completed', v_completed, 'failed', v_failed, 'activity', v_activity, 'receipts', v_receipts,
        'idempotency_keys', v_keys, 'requests', v_requests, 'callbacks', v_callbacks
    );
END;
$$;
COMMENT ON FUNCTION mqtt.cleanup() IS
'Removes what is past its term: whole partitions, then bounded batches for organizations with a shorter term. Returns the rows that went, by kind.';

CREATE FUNCTION api.cleanup_mqtt_queue() RETURNS jsonb
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT mqtt.cleanup();
$$;
COMMENT ON FUNCTION api.cleanup_mqtt_queue() IS
$md$Remove what is past its retention

Completed messages after 7 days, failed ones (dead letters) after 30, unless configured otherwise for the installation or the organization;
also activity log, receipts, callback deliveries, idempotency keys and old requests. Never a message that is not processed. Runs in the bridge's upkeep too.
Answers the rows removed: `{"completed", "failed", "activity", "receipts", "idempotency_keys", "requests", "callbacks"}`.$md$;
GRANT EXECUTE ON FUNCTION api.cleanup_mqtt_queue() TO service_role;

CREATE FUNCTION mqtt.watch() RETURNS jsonb
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
    SELECT count(*) INTO v_differences FROM mqtt.check_ledger();
    IF v_differences > 0 THEN
        RAISE LOG 'topicbase: the books of % hours do not add up; SELECT * FROM api.check_mqtt_ledger() names them', v_differences;
    END IF;
    SELECT * INTO v_holder FROM mqtt.vacuum_holders() LIMIT 1;
    IF found THEN
        RAISE LOG 'topicbase: vacuum is held back by % % (%), % for % s', v_holder.kind, v_holder.pid, v_holder.name, v_holder.state, v_holder.held_seconds;
    END IF;
    RETURN jsonb_build_object('ledger', v_ledger, 'ledger_differences', v_differences)
        || CASE WHEN v_holder IS NULL THEN '{}' ELSE jsonb_build_object('vacuum_held_by', to_jsonb(v_holder)) END;
END;
$$;
COMMENT ON FUNCTION mqtt.watch() IS
'Looks for trouble, and tells the server''s log: {"ledger": sums of all time, "ledger_differences": hours that do not add up, "vacuum_held_by": the worst of vacuum_holders()}.';

CREATE FUNCTION mqtt.log_expired_credentials() RETURNS bigint
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
'Writes credential_expired to the activity log, once for each credential whose expires_at has passed since it last ran; returns how many. They are refused from expires_at on, whether it ran or not.';

CREATE FUNCTION mqtt.upkeep() RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_made integer;
    v_cleaned jsonb;
    v_rolled bigint;
    v_intake jsonb;
    v_repaired bigint;
    v_watched jsonb;
    v_expired bigint;
    v_postponed text;
BEGIN
    IF NOT pg_try_advisory_xact_lock(1953460324, 0) THEN
        RETURN jsonb_build_object('skipped', true);
    END IF;
    v_repaired := mqtt.repair_clock();
    v_intake := mqtt.check_intake();
    v_rolled := mqtt.roll_up_ledger();
    v_watched := mqtt.watch();
    v_expired := mqtt.log_expired_credentials();
    -- Whoever reads a table for hours (a dump, say) must not keep the rest of this from being done.
    BEGIN
        v_made := mqtt.prepare_partitions();
        v_cleaned := mqtt.cleanup();
    EXCEPTION WHEN lock_not_available THEN
        v_postponed := SQLERRM;
    END;
    RETURN coalesce(v_cleaned, '{}') || v_intake || v_watched || jsonb_strip_nulls(jsonb_build_object(
        'partitions_made', v_made, 'ledger_rows_rolled_up', v_rolled, 'clock_repaired', v_repaired,
        'credentials_expired', v_expired, 'postponed', v_postponed
    ));
END;
$$;
COMMENT ON FUNCTION mqtt.upkeep() IS
'All periodic work: messages hidden by a clock set back, intake, ledger, what holds back vacuum, credentials that expired, partitions ahead, retention (postponed while a lock is not to be had). One caller at a time, others are told {"skipped": true}. The bridge calls it each minute; SELECT cron.schedule(''topicbase'', ''* * * * *'', ''SELECT mqtt.upkeep()'') does the same without one.';
COMMIT;

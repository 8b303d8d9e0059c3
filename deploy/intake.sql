-- Deploy topicbase:intake to pg
-- requires: session_quotas
-- requires: ledger
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE FUNCTION mqtt.free_disk_bytes() RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF to_regprocedure('mqtt.py_free_disk()') IS NULL THEN
        RETURN NULL;
    END IF;
    RETURN mqtt.py_free_disk();
END;
$$;
COMMENT ON FUNCTION mqtt.free_disk_bytes() IS 'Free bytes on the data disk; null where the server has no PL/Python to ask.';

CREATE FUNCTION mqtt.count_outbound(enough bigint) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    -- Counted where the statistics are near what matters.
    SELECT CASE
        WHEN greatest(pg_stat_get_live_tuples(k.oid), k.reltuples) < enough / 2 THEN greatest(pg_stat_get_live_tuples(k.oid), 0)
        ELSE (SELECT count(*) FROM (SELECT FROM pgmq.q_mqtt_outbound LIMIT enough + 1) AS q)
    END
    FROM pg_catalog.pg_class AS k
    WHERE k.oid = 'pgmq.q_mqtt_outbound'::regclass;
$$;
COMMENT ON FUNCTION mqtt.count_outbound(bigint) IS
'About how many messages wait to be published; from half of enough on exactly, and no more than one beyond it.';

CREATE FUNCTION mqtt.check_intake() RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_free CONSTANT bigint := mqtt.free_disk_bytes();
    v_limits mqtt.configuration;
    v_queued bigint;
    v_outbound bigint;
    v_disk_stop text;
    v_stop text;
    v_publish_stop text;
    v_stopped integer;
BEGIN
    SELECT c.* INTO STRICT v_limits FROM mqtt.configuration AS c;
    SELECT coalesce(sum(l.accepted - l.completed - l.dead - l.expired), 0) INTO v_queued FROM mqtt.ledger AS l WHERE l.shard > -4;
    v_outbound := mqtt.count_outbound(v_limits.max_queued);
    -- Closed at the limit, open again at a tenth beyond it, so that it does not flap.
    IF v_free < v_limits.min_free_bytes * (CASE WHEN v_limits.publish_stop IS NULL THEN 1.0 ELSE 1.1 END) THEN
        v_disk_stop := format('The data disk has less than %s free.', pg_size_pretty(v_limits.min_free_bytes));
    END IF;
    IF v_queued > v_limits.max_queued * (CASE WHEN v_limits.intake_stop IS NULL THEN 1.0 ELSE 0.9 END) THEN
        v_stop := format('More than %s messages wait to be processed.', v_limits.max_queued);
    END IF;
    IF v_outbound > v_limits.max_queued * (CASE WHEN v_limits.publish_stop IS NULL THEN 1.0 ELSE 0.9 END) THEN
        v_publish_stop := format('More than %s messages wait to be published.', v_limits.max_queued);
    END IF;
    v_stop := coalesce(v_disk_stop, v_stop);
    v_publish_stop := coalesce(v_disk_stop, v_publish_stop);
    UPDATE mqtt.configuration AS c
    SET intake_stop = v_stop, publish_stop = v_publish_stop
    WHERE (c.intake_stop, c.publish_stop) IS DISTINCT FROM (v_stop, v_publish_stop);
    WITH depth AS (
        SELECT o.id, o.max_queued, o.intake_stop, coalesce(sum(l.accepted - l.completed - l.dead - l.expired), 0) AS queued
        FROM mqtt.organizations AS o
        LEFT JOIN mqtt.ledger AS l ON l.organization_id = o.id AND l.shard > -4
        WHERE o.max_queued IS NOT NULL OR o.intake_stop IS NOT NULL
        GROUP BY o.id
    ),
    verdict AS (
        SELECT
            d.id,
            CASE
                WHEN d.queued > d.max_queued * CASE WHEN d.intake_stop IS NULL THEN 1.0 ELSE 0.9 END
                    THEN format('More than %s messages of the organization wait to be processed.', d.max_queued)
            END AS stop
        FROM depth AS d
    ),
    changed AS (
        UPDATE mqtt.organizations AS o
        SET intake_stop = v.stop
        FROM verdict AS v
        WHERE o.id = v.id AND o.intake_stop IS DISTINCT FROM v.stop
        RETURNING o.id, v.stop
    ),
    logged AS (
        INSERT INTO mqtt.integration_activity_log (organization_id, activity_type, status, error_message)
        SELECT c.id, CASE WHEN c.stop IS NULL THEN 'intake_opened' ELSE 'intake_stopped' END, CASE WHEN c.stop IS NULL THEN 'success' ELSE 'failed' END, c.stop
        FROM changed AS c
    )
    SELECT count(*) FILTER (WHERE v.stop IS NOT NULL) INTO v_stopped FROM verdict AS v;
    RETURN jsonb_build_object('free_disk_bytes', v_free, 'queued', v_queued, 'intake_stop', v_stop, 'publish_stop', v_publish_stop, 'organizations_stopped', v_stopped);
END;
$$;
COMMENT ON FUNCTION mqtt.check_intake() IS
'Closes ingest (429; brokers are left unread) and mqtt_publish (429) for all when the data disk or the queue is near full, ingest for an organization when its max_queued is passed, and opens them again. The bridge looks each second; part of upkeep, too.';

CREATE FUNCTION api.set_organization_limits(
    organization_id uuid, max_per_second numeric DEFAULT NULL, max_burst integer DEFAULT NULL, max_queued bigint DEFAULT NULL,
    max_payload_bytes integer DEFAULT NULL, completed_days integer DEFAULT NULL, failed_days integer DEFAULT NULL, activity_days integer DEFAULT NULL
) RETURNS mqtt.organizations
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_organization mqtt.organizations;
BEGIN
    IF least(max_per_second, max_burst, max_queued, max_payload_bytes, completed_days, failed_days, activity_days) <= 0 OR max_per_second = 'NaN' THEN
        RAISE EXCEPTION 'limit_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'Each limit is more than 0, or null for none.', HINT = 'All limits are set together; what is left out is lifted.';
    END IF;
    UPDATE mqtt.organizations AS o
    SET max_per_second = set_organization_limits.max_per_second,
        max_burst = set_organization_limits.max_burst,
        max_queued = set_organization_limits.max_queued,
        max_payload_bytes = set_organization_limits.max_payload_bytes,
        completed_days = set_organization_limits.completed_days,
        failed_days = set_organization_limits.failed_days,
        activity_days = set_organization_limits.activity_days
    WHERE o.id = set_organization_limits.organization_id
    RETURNING o.* INTO v_organization;
    IF NOT found THEN
        RAISE EXCEPTION 'organization_not_found' USING
            ERRCODE = 'PT404', DETAIL = format('No organization %s.', organization_id), HINT = 'GET /organizations shows them.';
    END IF;
    RETURN v_organization;
END;
$$;
COMMENT ON FUNCTION api.set_organization_limits(uuid, numeric, integer, bigint, integer, integer, integer, integer) IS
$md$Set the quotas and retention of an organization

All are set together; what is left out (or null) falls back to the installation's: `max_per_second` and `max_burst` of its devices over HTTP,
`max_queued` messages waiting, `max_payload_bytes`, and the days that history (`completed_days`), dead letters (`failed_days`) and activity
log (`activity_days`) are kept. Answers the organization. Errors: 404 `organization_not_found`; 400 `limit_invalid`.$md$;
GRANT EXECUTE ON FUNCTION api.set_organization_limits(uuid, numeric, integer, bigint, integer, integer, integer, integer) TO service_role;
COMMIT;

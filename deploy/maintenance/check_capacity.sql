-- Deploy topicbase:maintenance/check_capacity to pg
-- requires: base/py_free_disk
-- requires: tables/integration_activity_log
-- requires: tables/ledger
-- requires: tables/queues
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.free_disk_bytes() RETURNS bigint
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
COMMENT ON FUNCTION mqtt.free_disk_bytes() IS 'Free bytes on the data disk; null if the server has no PL/Python to find out.';

CREATE OR REPLACE FUNCTION mqtt.count_outbound(enough bigint) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    -- The statistics are good enough far below the limit; near it the rows are counted.
    SELECT CASE
        WHEN greatest(pg_stat_get_live_tuples(k.oid), k.reltuples) < enough / 2 THEN greatest(pg_stat_get_live_tuples(k.oid), 0)
        ELSE (SELECT count(*) FROM (SELECT FROM pgmq.q_mqtt_outbound LIMIT enough + 1) AS q)
    END
    FROM pg_catalog.pg_class AS k
    WHERE k.oid = 'pgmq.q_mqtt_outbound'::regclass;
$$;
COMMENT ON FUNCTION mqtt.count_outbound(bigint) IS
'How many messages wait to be published: approximate below half of enough, exact above it, and never more than enough + 1.';

CREATE OR REPLACE FUNCTION mqtt.check_organization_queues() RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_stopped integer;
BEGIN
    WITH depth AS (
        SELECT o.id, o.max_queued, o.ingest_pause, coalesce(sum(l.accepted - l.completed - l.dead - l.expired), 0) AS queued
        FROM mqtt.organizations AS o
        LEFT JOIN mqtt.ledger AS l ON l.organization_id = o.id AND l.shard > mqtt.ledger_level_settled()
        WHERE o.max_queued IS NOT NULL OR o.ingest_pause IS NOT NULL
        GROUP BY o.id
    ),
    verdict AS (
        SELECT
            d.id,
            CASE
                WHEN d.queued > d.max_queued * CASE WHEN d.ingest_pause IS NULL THEN 1.0 ELSE 0.9 END
                    THEN format('More than %s messages of the organization wait to be processed.', d.max_queued)
            END AS stop
        FROM depth AS d
    ),
    changed AS (
        UPDATE mqtt.organizations AS o
        SET ingest_pause = v.stop
        FROM verdict AS v
        WHERE o.id = v.id AND o.ingest_pause IS DISTINCT FROM v.stop
        RETURNING o.id, v.stop
    ),
    logged AS (
        INSERT INTO mqtt.integration_activity_log (organization_id, activity_type, status, error_message)
        SELECT c.id, CASE WHEN c.stop IS NULL THEN 'ingest_resumed' ELSE 'ingest_paused' END, CASE WHEN c.stop IS NULL THEN 'success' ELSE 'failed' END, c.stop
        FROM changed AS c
    )
    SELECT count(*) FILTER (WHERE v.stop IS NOT NULL) INTO v_stopped FROM verdict AS v;
    RETURN v_stopped;
END;
$$;
COMMENT ON FUNCTION mqtt.check_organization_queues() IS
'Stops ingest for each organization that exceeds its max_queued, and opens it again once a tenth below. Returns how many are stopped.';

CREATE OR REPLACE FUNCTION mqtt.check_capacity() RETURNS jsonb
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
BEGIN
    SELECT c.* INTO STRICT v_limits FROM mqtt.configuration AS c;
    SELECT coalesce(sum(l.accepted - l.completed - l.dead - l.expired), 0) INTO v_queued FROM mqtt.ledger AS l WHERE l.shard > mqtt.ledger_level_settled();
    v_outbound := mqtt.count_outbound(v_limits.max_queued);
    -- Stopped at the limit, opened again a tenth away from it, so that it does not flap.
    IF v_free < v_limits.min_free_bytes * (CASE WHEN v_limits.publish_pause IS NULL THEN 1.0 ELSE 1.1 END) THEN
        v_disk_stop := format('The data disk has less than %s free.', pg_size_pretty(v_limits.min_free_bytes));
    END IF;
    IF v_queued > v_limits.max_queued * (CASE WHEN v_limits.ingest_pause IS NULL THEN 1.0 ELSE 0.9 END) THEN
        v_stop := format('More than %s messages wait to be processed.', v_limits.max_queued);
    END IF;
    IF v_outbound > v_limits.max_queued * (CASE WHEN v_limits.publish_pause IS NULL THEN 1.0 ELSE 0.9 END) THEN
        v_publish_stop := format('More than %s messages wait to be published.', v_limits.max_queued);
    END IF;
    v_stop := coalesce(v_disk_stop, v_stop);
    v_publish_stop := coalesce(v_disk_stop, v_publish_stop);
    UPDATE mqtt.configuration AS c
    SET ingest_pause = v_stop, publish_pause = v_publish_stop
    WHERE (c.ingest_pause, c.publish_pause) IS DISTINCT FROM (v_stop, v_publish_stop);
    RETURN jsonb_build_object(
        'free_disk_bytes', v_free, 'queued', v_queued, 'ingest_pause', v_stop, 'publish_pause', v_publish_stop,
        'organizations_stopped', mqtt.check_organization_queues()
    );
END;
$$;
COMMENT ON FUNCTION mqtt.check_capacity() IS
'Stops ingest (429; brokers are left unread) and mqtt_publish (429) for everyone when the data disk or a queue is nearly full, and ingest for an organization that exceeds its max_queued; opens them again. The bridge runs it every second; it is also part of maintenance.';
COMMIT;

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

CREATE OR REPLACE FUNCTION mqtt.largest_writers() RETURNS uuid []
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN ARRAY(
        WITH newest AS MATERIALIZED (
            SELECT h.organization, pg_column_size(h.payload) + coalesce(pg_column_size(h.body), 0) + 100 AS bytes
            FROM mqtt.history AS h
            ORDER BY h.received_at DESC
            LIMIT 10000
        ),
        written AS (
            SELECT
                l.organization_id,
                sum(l.accepted) * coalesce(
                    (SELECT avg(n.bytes) FROM newest AS n JOIN mqtt.organizations AS o ON o.number = n.organization WHERE o.id = l.organization_id),
                    (SELECT avg(n.bytes) FROM newest AS n)
                ) AS bytes
            FROM mqtt.ledger AS l
            WHERE l.bucket > now() - interval '1 day'
            GROUP BY l.organization_id
            HAVING sum(l.accepted) > 0
        )
        SELECT w.organization_id FROM written AS w WHERE w.bytes > 1.5 * (SELECT avg(x.bytes) FROM written AS x)
    );
END;
$$;
COMMENT ON FUNCTION mqtt.largest_writers() IS
'The organizations whose messages of the last day take half as much again as the mean of those that had any: how many the ledger says, how large the 10,000 newest were.';

CREATE OR REPLACE FUNCTION mqtt.organization_depths(free bigint, writers uuid []) RETURNS TABLE (organization_id uuid, queued bigint)
LANGUAGE sql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT o.id, coalesce(sum(l.accepted - l.completed - l.dead - l.expired), 0)::bigint
    FROM mqtt.organizations AS o
    LEFT JOIN mqtt.ledger AS l ON l.organization_id = o.id AND l.shard > mqtt.ledger_level_settled()
    WHERE organization_depths.free IS NOT NULL OR o.max_queued IS NOT NULL OR o.ingest_pause IS NOT NULL OR o.id = ANY (writers)
    GROUP BY o.id;
$$;
COMMENT ON FUNCTION mqtt.organization_depths(bigint, uuid []) IS
'How many messages of each organization wait to be processed; without free, of those only that have a limit of their own, are stopped, or are among the writers.';

CREATE OR REPLACE FUNCTION mqtt.check_organization_queues(free bigint, writers uuid []) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_stopped integer;
BEGIN
    WITH verdict AS MATERIALIZED (
        SELECT
            o.id,
            CASE
                WHEN d.queued > o.max_queued * x.part THEN format('More than %s messages of the organization wait to be processed.', o.max_queued)
                WHEN d.queued > free * x.part THEN 'More messages of the organization wait to be processed than there is room left for.'
                WHEN o.id = ANY (writers) THEN 'The data disk is nearly full, and the organization writes more to it than others.'
            END AS stop
        FROM mqtt.organization_depths(free, writers) AS d
        JOIN mqtt.organizations AS o ON o.id = d.organization_id AND o.moving_to IS NULL
        CROSS JOIN LATERAL (SELECT CASE WHEN o.ingest_pause IS NULL THEN 1.0 ELSE 0.9 END AS part) AS x
    ),
    changed AS (
        UPDATE mqtt.organizations AS o
        SET ingest_pause = v.stop
        FROM verdict AS v
        WHERE o.id = v.id AND o.ingest_pause IS DISTINCT FROM v.stop AND o.moving_to IS NULL
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
COMMENT ON FUNCTION mqtt.check_organization_queues(bigint, uuid []) IS
'Stops ingest for each organization that exceeds its max_queued, of which more messages wait than there is room left for (free; null while most is free), or that is among the writers (while the disk is nearly full), and opens it again once a tenth below. Returns how many are stopped.';

CREATE OR REPLACE FUNCTION mqtt.check_organization_publishing(free bigint, writers uuid []) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    WITH depth AS MATERIALIZED (
        SELECT q.organization_id, count(*) AS queued FROM pgmq.q_mqtt_outbound AS q WHERE free IS NOT NULL GROUP BY q.organization_id
    ),
    verdict AS (
        SELECT
            o.id,
            CASE
                WHEN d.queued > free * CASE WHEN o.publish_pause IS NULL THEN 1.0 ELSE 0.9 END
                    THEN 'More messages of the organization wait to be published than there is room left for.'
                WHEN o.id = ANY (writers) THEN 'The data disk is nearly full, and the organization writes more to it than others.'
            END AS stop
        FROM mqtt.organizations AS o
        LEFT JOIN depth AS d ON d.organization_id = o.id
        WHERE d.queued IS NOT NULL OR o.publish_pause IS NOT NULL OR o.id = ANY (writers)
    )
    UPDATE mqtt.organizations AS o SET publish_pause = v.stop FROM verdict AS v WHERE o.id = v.id AND o.publish_pause IS DISTINCT FROM v.stop;
END;
$$;
COMMENT ON FUNCTION mqtt.check_organization_publishing(bigint, uuid []) IS 'The same for mqtt_publish and what waits to be published.';

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
    v_writers uuid [] := '{}';
    v_stopped integer;
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
    -- One organization alone does not stop the others: before everyone is, those are that have more than stays free.
    IF v_free < v_limits.min_free_bytes * (CASE WHEN EXISTS (SELECT FROM mqtt.organizations AS o WHERE o.ingest_pause IS NOT NULL) THEN 2.2 ELSE 2.0 END) THEN
        v_writers := mqtt.largest_writers();
    END IF;
    v_stopped := mqtt.check_organization_queues(CASE WHEN v_queued * 2 > v_limits.max_queued THEN greatest(v_limits.max_queued - v_queued, 0) END, v_writers);
    PERFORM mqtt.check_organization_publishing(CASE WHEN v_outbound * 2 > v_limits.max_queued THEN greatest(v_limits.max_queued - v_outbound, 0) END, v_writers);
    v_stop := coalesce(v_disk_stop, v_stop);
    v_publish_stop := coalesce(v_disk_stop, v_publish_stop);
    UPDATE mqtt.configuration AS c
    SET ingest_pause = v_stop, publish_pause = v_publish_stop
    WHERE (c.ingest_pause, c.publish_pause) IS DISTINCT FROM (v_stop, v_publish_stop);
    RETURN jsonb_build_object(
        'free_disk_bytes', v_free, 'queued', v_queued, 'ingest_pause', v_stop, 'publish_pause', v_publish_stop,
        'organizations_stopped', v_stopped
    );
END;
$$;
COMMENT ON FUNCTION mqtt.check_capacity() IS
'Stops ingest (429; brokers are left unread) and mqtt_publish (429) for everyone when the data disk or a queue is nearly full, before that for the organizations that have more of it than stays free, and ingest for one that exceeds its max_queued; opens them again. The bridge runs it every second; it is also part of maintenance.';
COMMIT;

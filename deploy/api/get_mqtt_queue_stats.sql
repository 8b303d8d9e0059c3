-- Deploy topicbase:api/get_mqtt_queue_stats to pg
-- requires: base/argument_aliases
-- requires: integrations/access
-- requires: tables/integration_activity_log
-- requires: tables/ledger
-- requires: tables/queues
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.queue_depth(organization_id uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_counts record;
    v_oldest timestamptz;
    v_waiting record;
BEGIN
    -- Counters, not rows: a million queued messages cost no more than ten.
    SELECT
        coalesce(sum(l.accepted - l.completed - l.dead - l.expired), 0) AS pending,
        coalesce(sum(l.completed) FILTER (WHERE l.bucket > now() - make_interval(days => coalesce(o.completed_days, c.completed_days))), 0) AS completed,
        coalesce(sum(l.dead) FILTER (WHERE l.bucket > now() - make_interval(days => coalesce(o.failed_days, c.failed_days))), 0) AS failed
    INTO v_counts
    FROM mqtt.organizations AS o
    CROSS JOIN mqtt.configuration AS c
    LEFT JOIN mqtt.ledger AS l ON l.organization_id = o.id
    WHERE o.id = queue_depth.organization_id;
    SELECT q.enqueued_at INTO v_oldest
    FROM pgmq.q_mqtt_messages AS q
    -- Starts at the oldest minute that the counters show as unfinished: millions of dead rows may precede it.
    WHERE q.organization_id = queue_depth.organization_id AND q.vt >= coalesce((
        SELECT l.bucket
        FROM mqtt.ledger AS l
        WHERE l.organization_id = queue_depth.organization_id
        GROUP BY l.bucket
        HAVING sum(l.accepted - l.completed - l.dead - l.expired) > 0
        ORDER BY l.bucket
        LIMIT 1
    ), '-infinity')
    ORDER BY q.vt
    LIMIT 1;
    SELECT
        count(*) FILTER (WHERE x.attempts > 0) AS retrying,
        coalesce(sum(x.message_count) FILTER (WHERE x.attempts = 0 AND x.read_ct > 0), 0) AS processing,
        min(x.enqueued_at) AS oldest
    INTO v_waiting
    FROM (
        SELECT q.attempts, q.read_ct, q.enqueued_at, q.message_count
        FROM pgmq.q_mqtt_messages AS q
        WHERE q.organization_id = queue_depth.organization_id AND q.vt > now()
        LIMIT 10000
    ) AS x;
    RETURN jsonb_build_object(
        'pending', v_counts.pending - v_waiting.processing, 'processing', v_waiting.processing, 'completed', v_counts.completed,
        'failed', v_counts.failed, 'retrying', v_waiting.retrying, 'dead', v_counts.failed,
        'oldest_pending_seconds', round(extract(EPOCH FROM clock_timestamp() - least(v_oldest, v_waiting.oldest)), 3)
    );
END;
$$;
COMMENT ON FUNCTION mqtt.queue_depth(uuid) IS
'How many messages of the organization are in each status, and how long the oldest one has waited: the first fields of api.get_mqtt_queue_stats.';

CREATE OR REPLACE FUNCTION mqtt.queue_rates(organization_id uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT jsonb_object_agg(
            w.minutes || 'm', jsonb_build_object(
                'in_per_second', round(i.accepted / x.seconds, 3),
                'out_per_second', round(a.stored / x.seconds, 3),
                'retry_per_second', round(a.retried / x.seconds, 3),
                'dead_per_second', round(a.dead / x.seconds, 3)
            )
        )
        -- The ledger counts by minutes: each rate is over the same time, up to a minute more than asked for.
        FROM (SELECT v.minutes, date_trunc('minute', now() - make_interval(mins => v.minutes)) AS began FROM (VALUES (1), (5), (60)) AS v (minutes)) AS w
        CROSS JOIN LATERAL (SELECT extract(EPOCH FROM now() - w.began) AS seconds) AS x
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(l.accepted), 0) AS accepted
            FROM mqtt.ledger AS l
            WHERE l.organization_id = queue_rates.organization_id AND l.bucket >= w.began
        ) AS i
        CROSS JOIN LATERAL (
            SELECT
                coalesce(sum(l.message_count) FILTER (WHERE l.activity_type = 'messages_processed'), 0) AS stored,
                count(*) FILTER (WHERE l.activity_type = 'message_failed') AS retried,
                coalesce(sum(greatest(l.message_count, 1)) FILTER (WHERE l.activity_type = 'message_dead'), 0) AS dead
            FROM mqtt.integration_activity_log AS l
            WHERE l.organization_id = queue_rates.organization_id AND l.created_at >= w.began
        ) AS a
    );
END;
$$;
COMMENT ON FUNCTION mqtt.queue_rates(uuid) IS
'Messages of the organization per second over 1, 5 and 60 minutes: {"1m": {"in_per_second", "out_per_second", "retry_per_second", "dead_per_second"}, "5m", "60m"}.';

CREATE OR REPLACE FUNCTION mqtt.seconds_in_queue(organization_id uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT jsonb_build_object(
            'p50', round((percentile_cont(0.5) WITHIN GROUP (ORDER BY s.seconds))::numeric, 4),
            'p99', round((percentile_cont(0.99) WITHIN GROUP (ORDER BY s.seconds))::numeric, 4)
        )
        FROM (
            SELECT b.seconds
            FROM (
                SELECT (a.details ->> 'seconds')::double precision AS seconds, a.message_count
                FROM mqtt.integration_activity_log AS a
                WHERE a.organization_id = seconds_in_queue.organization_id AND a.activity_type = 'messages_processed' AND a.details ? 'seconds'
                    AND a.created_at > now() - interval '1 hour'
                ORDER BY a.created_at DESC
                LIMIT 1000
            ) AS b
            CROSS JOIN generate_series(1, least(b.message_count, 1000))
            LIMIT 1000
        ) AS s
    );
END;
$$;
COMMENT ON FUNCTION mqtt.seconds_in_queue(uuid) IS
'How long the last 1,000 messages processed within the hour waited, each as long as the longest of its batch and integration: {"p50", "p99"}, null when there were none.';

CREATE OR REPLACE FUNCTION mqtt.top_errors(organization_id uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT coalesce(jsonb_agg(jsonb_build_object('code', t.code, 'error', t.error, 'count', t.n) ORDER BY t.n DESC, t.error), '[]')
        FROM (
            SELECT a.code, max(a.error_message) AS error, count(*) AS n
            FROM (
                SELECT x.error_message, x.details ->> 'code' AS code
                FROM mqtt.integration_activity_log AS x
                WHERE x.organization_id = top_errors.organization_id AND x.status = 'failed' AND x.created_at > now() - interval '1 hour'
                ORDER BY x.created_at DESC
                LIMIT 1000
            ) AS a
            -- Errors that differ only in a name or a number count as one.
            GROUP BY a.code, regexp_replace(a.error_message, '"[^"]*"|[0-9a-f]{8}-[0-9a-f-]{27}|[0-9]+', '', 'g')
            ORDER BY n DESC, error
            LIMIT 5
        ) AS t
    );
END;
$$;
COMMENT ON FUNCTION mqtt.top_errors(uuid) IS
'The five most frequent of the organization''s last 1,000 errors within the hour: [{"code", "error", "count"}], most frequent first.';

CREATE OR REPLACE FUNCTION mqtt.queue_statistics(organization_id uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN mqtt.queue_depth(organization_id) || jsonb_build_object(
        'organization_id', organization_id, 'rates', mqtt.queue_rates(organization_id), 'seconds_in_queue', mqtt.seconds_in_queue(organization_id),
        'top_errors', mqtt.top_errors(organization_id)
    );
END;
$$;
COMMENT ON FUNCTION mqtt.queue_statistics(uuid) IS 'What api.get_mqtt_queue_stats answers.';

CREATE OR REPLACE FUNCTION api.get_mqtt_queue_stats(organization_id uuid DEFAULT NULL, org_id uuid DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_id CONSTANT uuid := (mqtt.require_organization(mqtt.one_of(organization_id, org_id, 'organization_id', 'org_id'))).id;
BEGIN
    PERFORM mqtt.require_whole_organization();
    RETURN mqtt.queue_statistics(v_id);
END;
$$;
COMMENT ON FUNCTION api.get_mqtt_queue_stats(uuid, uuid) IS
$md$Show the state of an organization's queue

`org_id` is another name for `organization_id`. Returns
- counts by status: `pending`, `processing`, `completed`, `failed`; `retrying` counts the pending messages that wait for another attempt;
  `dead` equals `failed`
- `oldest_pending_seconds`
- `rates` per second over 1, 5 and 60 minutes: in, out, failed attempts, dead letters
- `seconds_in_queue`: p50 and p99 of the last 1,000 messages stored
- `top_errors` of the last hour: `code` (SQLSTATE), `error`, `count`

Errors: 400 `argument_conflict`; 403 `key_of_integrations`; 404 `organization_not_found`.
Answer: {"organization_id": "uuid", "pending": "integer", "processing": "integer", "completed": "integer", "failed": "integer",
"retrying": "integer", "dead": "integer", "oldest_pending_seconds": "number?",
"rates": {"*": {"in_per_second": "number", "out_per_second": "number", "retry_per_second": "number", "dead_per_second": "number"}},
"seconds_in_queue": {"p50": "number?", "p99": "number?"}, "top_errors": [{"code": "text?", "error": "text?", "count": "integer"}]}$md$;
GRANT EXECUTE ON FUNCTION api.get_mqtt_queue_stats(uuid, uuid) TO authenticated, service_role;
COMMIT;

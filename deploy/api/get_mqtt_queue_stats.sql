-- Deploy topicbase:api/get_mqtt_queue_stats to pg
-- requires: integrations/access
-- requires: tables/integration_activity_log
-- requires: tables/ledger
-- requires: tables/queues
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION api.get_mqtt_queue_stats(org_id uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_counts record;
    v_oldest timestamptz;
    v_waiting record;
    v_rates jsonb;
    v_times record;
    v_errors jsonb;
BEGIN
    PERFORM mqtt.require_organization(org_id);
    -- Counters, not rows: a million queued messages cost no more than ten.
    SELECT
        coalesce(sum(l.accepted - l.completed - l.dead - l.expired), 0) AS pending,
        coalesce(sum(l.completed) FILTER (WHERE l.bucket > now() - make_interval(days => coalesce(o.completed_days, c.completed_days))), 0) AS completed,
        coalesce(sum(l.dead) FILTER (WHERE l.bucket > now() - make_interval(days => coalesce(o.failed_days, c.failed_days))), 0) AS failed
    INTO v_counts
    FROM mqtt.organizations AS o
    CROSS JOIN mqtt.configuration AS c
    LEFT JOIN mqtt.ledger AS l ON l.organization_id = o.id
    WHERE o.id = org_id;
    SELECT q.enqueued_at INTO v_oldest
    FROM pgmq.q_mqtt_messages AS q
    -- From the oldest minute on that the counters say is not done: what is before it may be millions of dead rows.
    WHERE q.organization_id = org_id AND q.vt >= coalesce((
        SELECT l.bucket
        FROM mqtt.ledger AS l
        WHERE l.organization_id = org_id
        GROUP BY l.bucket
        HAVING sum(l.accepted - l.completed - l.dead - l.expired) > 0
        ORDER BY l.bucket
        LIMIT 1
    ), '-infinity')
    ORDER BY q.vt
    LIMIT 1;
    SELECT
        count(*) FILTER (WHERE x.attempts > 0) AS retrying,
        count(*) FILTER (WHERE x.attempts = 0 AND x.read_ct > 0) AS processing,
        min(x.enqueued_at) AS oldest
    INTO v_waiting
    FROM (SELECT q.attempts, q.read_ct, q.enqueued_at FROM pgmq.q_mqtt_messages AS q WHERE q.organization_id = org_id AND q.vt > now() LIMIT 10000) AS x;
    SELECT jsonb_object_agg(
        w.minutes || 'm', jsonb_build_object(
            -- The counters are by the minute: of up to one more than asked for.
            'in_per_second', round(i.accepted / extract(EPOCH FROM now() - w.began), 3),
            'out_per_second', round(a.stored / (w.minutes * 60.0), 3),
            'retry_per_second', round(a.retried / (w.minutes * 60.0), 3),
            'dead_per_second', round(a.dead / (w.minutes * 60.0), 3)
        )
    ) INTO v_rates
    FROM (SELECT v.minutes, date_trunc('minute', now() - make_interval(mins => v.minutes)) AS began FROM (VALUES (1), (5), (60)) AS v (minutes)) AS w
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(l.accepted), 0) AS accepted FROM mqtt.ledger AS l WHERE l.organization_id = org_id AND l.bucket >= w.began
    ) AS i
    CROSS JOIN LATERAL (
        SELECT
            coalesce(sum(l.message_count) FILTER (WHERE l.activity_type = 'messages_processed'), 0) AS stored,
            count(*) FILTER (WHERE l.activity_type = 'message_failed') AS retried,
            coalesce(sum(greatest(l.message_count, 1)) FILTER (WHERE l.activity_type = 'message_dead'), 0) AS dead
        FROM mqtt.integration_activity_log AS l
        WHERE l.organization_id = org_id AND l.created_at >= now() - make_interval(mins => w.minutes)
    ) AS a;
    SELECT
        percentile_cont(0.5) WITHIN GROUP (ORDER BY s.seconds) AS p50,
        percentile_cont(0.99) WITHIN GROUP (ORDER BY s.seconds) AS p99
    INTO v_times
    FROM (
        SELECT extract(EPOCH FROM m.created_at - m.received_at) AS seconds
        FROM mqtt.mqtt_messages AS m
        WHERE m.organization_id = org_id AND m.direction = 'incoming' AND m.received_at > now() - interval '1 hour'
        ORDER BY m.received_at DESC
        LIMIT 1000
    ) AS s;
    SELECT coalesce(jsonb_agg(jsonb_build_object('code', t.code, 'error', t.error, 'count', t.n) ORDER BY t.n DESC, t.error), '[]') INTO v_errors
    FROM (
        SELECT a.code, max(a.error_message) AS error, count(*) AS n
        FROM (
            SELECT x.error_message, x.details ->> 'code' AS code
            FROM mqtt.integration_activity_log AS x
            WHERE x.organization_id = org_id AND x.status = 'failed' AND x.created_at > now() - interval '1 hour'
            ORDER BY x.created_at DESC
            LIMIT 1000
        ) AS a
        -- What differs only in a name or a number is one error.
        GROUP BY a.code, regexp_replace(a.error_message, '"[^"]*"|[0-9a-f]{8}-[0-9a-f-]{27}|[0-9]+', '', 'g')
        ORDER BY n DESC, error
        LIMIT 5
    ) AS t;
    RETURN jsonb_build_object(
        'organization_id', org_id,
        'pending', v_counts.pending - v_waiting.processing,
        'processing', v_waiting.processing,
        'completed', v_counts.completed,
        'failed', v_counts.failed,
        'retrying', v_waiting.retrying,
        'dead', v_counts.failed,
        'oldest_pending_seconds', round(extract(EPOCH FROM clock_timestamp() - least(v_oldest, v_waiting.oldest)), 3),
        'rates', v_rates,
        'seconds_in_queue', jsonb_build_object('p50', round(v_times.p50::numeric, 4), 'p99', round(v_times.p99::numeric, 4)),
        'top_errors', v_errors
    );
END;
$$;
COMMENT ON FUNCTION api.get_mqtt_queue_stats(uuid) IS
$md$How the queue does for one organization

Answers counts by status (`pending`, `processing`, `completed`, `failed`; `retrying` is the part of pending that waits for another attempt;
`dead` equals `failed`), `oldest_pending_seconds`, `rates` per second over 1, 5 and 60 minutes (in, out, attempts that failed, dead letters), `seconds_in_queue` (p50 and p99
of the last 1,000 stored), `top_errors` of the last hour (`code`: SQLSTATE, `error`, `count`). Errors: 404 `organization_not_found`.$md$;
GRANT EXECUTE ON FUNCTION api.get_mqtt_queue_stats(uuid) TO authenticated, service_role;
COMMIT;

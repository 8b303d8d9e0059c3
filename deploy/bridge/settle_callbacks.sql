-- Deploy topicbase:bridge/settle_callbacks to pg
-- requires: process/process_batch
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION bridge.settle_callbacks(
    bridge_id uuid, organization_ids uuid [], ids uuid [], attempts smallint [], codes smallint [], errors text [], responses text [],
    retry_afters integer [], is_final boolean []
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_counts jsonb;
BEGIN
    WITH outcome AS (
        SELECT
            o.*,
            o.code IS NULL AND o.error IS NULL AS is_released,
            o.code BETWEEN 200 AND 299 AS is_delivered,
            CASE WHEN o.retry_after > 0 THEN least(o.retry_after, 86400) * interval '1 second' END AS pause
        FROM unnest(
            settle_callbacks.organization_ids, settle_callbacks.ids, settle_callbacks.attempts, settle_callbacks.codes, settle_callbacks.errors,
            settle_callbacks.responses, settle_callbacks.retry_afters, settle_callbacks.is_final
        ) AS o (organization_id, id, attempt, code, error, response, retry_after, is_final)
    ), settled AS (
        UPDATE mqtt.mqtt_callback_deliveries AS d
        SET bridge_id = NULL,
            attempts = d.attempts - o.is_released::integer,
            status = CASE
                WHEN o.is_delivered THEN 'delivered'
                WHEN o.is_released THEN 'waiting'
                WHEN o.is_final OR o.code = 410 OR d.attempts >= c.callback_attempts THEN 'dead'
                ELSE 'waiting'
            END,
            due_at = CASE
                WHEN o.is_released THEN clock_timestamp()
                ELSE clock_timestamp() + greatest(mqtt.retry_delay(d.attempts), o.pause)
            END,
            finished_at = CASE
                WHEN o.is_delivered OR NOT o.is_released AND (o.is_final OR o.code = 410 OR d.attempts >= c.callback_attempts) THEN clock_timestamp()
            END,
            status_code = CASE WHEN o.is_released THEN d.status_code ELSE o.code END,
            error = CASE WHEN o.is_released THEN d.error WHEN NOT o.is_delivered IS TRUE THEN left(o.error, 500) END,
            response = CASE WHEN o.is_released THEN d.response WHEN NOT o.is_delivered IS TRUE THEN left(o.response, 200) END
        FROM outcome AS o
        CROSS JOIN mqtt.configuration AS c
        WHERE d.organization_id = o.organization_id AND d.id = o.id AND d.status = 'waiting' AND d.attempts = o.attempt
            AND d.bridge_id = settle_callbacks.bridge_id
        RETURNING d.organization_id, d.subscription_id, d.status, o.code, o.error, o.is_released, o.is_final, o.pause
    ), told AS (
        SELECT s.organization_id, s.integration_id, s.id, s.callback_url AS url, t.status, t.code, t.error, t.is_released, t.pause,
            -- Whoever answers about this one message is there; a fault of ours says nothing about the receiver.
            NOT t.is_released AND NOT t.is_final AND coalesce(t.code IN (408, 429) OR t.code NOT BETWEEN 200 AND 499, true) AS is_down,
            coalesce(t.code NOT IN (408, 429) AND t.code BETWEEN 200 AND 499, false) AS is_up
        FROM settled AS t
        JOIN mqtt.mqtt_subscriptions AS s ON s.organization_id = t.organization_id AND s.id = t.subscription_id
    ), url AS (
        SELECT t.organization_id, t.url, bool_or(t.is_up) AS is_up, count(*) FILTER (WHERE t.is_down) AS failures,
            max(t.pause) FILTER (WHERE t.is_down) AS pause, max(t.error) FILTER (WHERE t.is_down) AS error
        FROM told AS t
        WHERE t.is_up OR t.is_down
        GROUP BY t.organization_id, t.url
    ), closed AS (
        DELETE FROM mqtt.callback_circuits AS c
        USING url AS u
        WHERE c.organization_id = u.organization_id AND c.url = u.url AND u.is_up AND u.pause IS NULL
        RETURNING c.organization_id, c.url, c.openings
    ), opened AS (
        INSERT INTO mqtt.callback_circuits AS c (organization_id, url, failures, openings, open_until, error)
        SELECT
            u.organization_id, u.url, u.failures, (u.failures >= 5)::integer,
            greatest(CASE WHEN u.failures >= 5 THEN clock_timestamp() + interval '10 seconds' END, clock_timestamp() + u.pause), left(u.error, 500)
        FROM url AS u
        WHERE u.pause IS NOT NULL OR NOT u.is_up
        ORDER BY u.organization_id, u.url
        ON CONFLICT (organization_id, url) DO UPDATE
        SET failures = c.failures + excluded.failures,
            error = excluded.error,
            -- What was under way when it opened says nothing new.
            openings = c.openings + (c.failures + excluded.failures >= 5 AND coalesce(c.open_until <= clock_timestamp(), true))::integer,
            open_until = greatest(
                CASE
                    WHEN c.failures + excluded.failures >= 5 AND coalesce(c.open_until <= clock_timestamp(), true)
                        THEN clock_timestamp() + least(interval '10 seconds' * power(2, least(c.openings, 20)), interval '10 minutes')
                    ELSE c.open_until
                END,
                excluded.open_until
            )
        RETURNING c.organization_id, c.url, c.openings, c.failures, c.error
    ), gone AS (
        UPDATE mqtt.mqtt_subscriptions AS s
        SET callback_gone_at = clock_timestamp()
        FROM (SELECT DISTINCT t.organization_id, t.id FROM told AS t WHERE t.code = 410) AS t
        WHERE s.organization_id = t.organization_id AND s.id = t.id
        RETURNING s.organization_id, s.integration_id, s.id
    ), logged AS (
        INSERT INTO mqtt.integration_activity_log (organization_id, integration_id, activity_type, status, message_count, error_message, details)
        SELECT t.organization_id, t.integration_id, 'callback_dead', 'failed', count(*), max(t.error), jsonb_build_object('subscription_id', t.id)
        FROM told AS t
        WHERE t.status = 'dead'
        GROUP BY t.organization_id, t.integration_id, t.id
        UNION ALL
        SELECT
            g.organization_id, g.integration_id, 'callback_paused', 'failed', 0, 'The receiver answered 410 Gone.', jsonb_build_object('subscription_id', g.id)
        FROM gone AS g
        UNION ALL
        SELECT DISTINCT
            t.organization_id, t.integration_id, 'callback_unreachable', 'failed', 0, o.error, jsonb_build_object('subscription_id', t.id)
        FROM opened AS o
        JOIN told AS t ON t.organization_id = o.organization_id AND t.url = o.url
        WHERE o.openings = 1 AND t.is_down
        UNION ALL
        SELECT DISTINCT t.organization_id, t.integration_id, 'callback_reached', 'success', 0, NULL, jsonb_build_object('subscription_id', t.id)
        FROM closed AS c
        JOIN told AS t ON t.organization_id = c.organization_id AND t.url = c.url
        WHERE c.openings > 0
    )
    SELECT jsonb_build_object(
        'delivered', count(*) FILTER (WHERE t.status = 'delivered'),
        'failed', count(*) FILTER (WHERE t.status = 'waiting' AND NOT t.is_released),
        'dead', count(*) FILTER (WHERE t.status = 'dead'),
        'released', count(*) FILTER (WHERE t.is_released)
    )
    INTO v_counts
    FROM settled AS t;
    RETURN v_counts;
END;
$$;
COMMENT ON FUNCTION bridge.settle_callbacks(uuid, uuid [], uuid [], smallint [], smallint [], text [], text [], integer [], boolean []) IS
'What became of requests claimed: HTTP status or the error in words; neither, when it was not made after all and costs no attempt. 2xx is delivered, 410 pauses the subscription''s callbacks, '
'anything else is tried again, after Retry-After (seconds) at the soonest, until configuration.callback_attempts; is_final: trying again is no use. Attempts that the bridge no longer has are passed over. '
'Returns {"delivered", "failed", "dead", "released"}.';
GRANT EXECUTE ON FUNCTION bridge.settle_callbacks(uuid, uuid [], uuid [], smallint [], smallint [], text [], text [], integer [], boolean []) TO mqtt_bridge;
COMMIT;

-- Deploy topicbase:bridge/callback_circuits to pg
-- requires: bridge/callback_outcome
-- requires: tables/integration_activity_log
-- requires: tables/mqtt_callbacks
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.circuit_opens(failures bigint, open_until timestamptz) RETURNS boolean
LANGUAGE sql VOLATILE SECURITY INVOKER
BEGIN ATOMIC
    -- Requests that were in flight when it opened say nothing new.
    SELECT failures >= 5 AND coalesce(open_until <= clock_timestamp(), true);
END;
COMMENT ON FUNCTION mqtt.circuit_opens(bigint, timestamptz) IS 'Whether a circuit breaker that was open until then opens (again) after this many failures in a row.';

CREATE OR REPLACE FUNCTION mqtt.note_receivers(settled mqtt.callback_outcome []) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    WITH url AS (
        SELECT t.organization_id, t.url, bool_or(t.is_up AND NOT t.is_slow) AS is_quick, count(*) FILTER (WHERE t.is_up AND t.is_slow) AS slow,
            count(*) FILTER (WHERE t.is_down) AS failures, max(t.pause) FILTER (WHERE t.is_down) AS pause, max(t.error) FILTER (WHERE t.is_down) AS error
        FROM unnest(settled) AS t
        WHERE t.url IS NOT NULL AND (t.is_up OR t.is_down)
        GROUP BY t.organization_id, t.url
    ), closed AS (
        DELETE FROM mqtt.callback_circuits AS c
        USING url AS u
        WHERE c.organization_id = u.organization_id AND c.url = u.url AND u.is_quick AND u.pause IS NULL
        RETURNING c.organization_id, c.url, c.openings
    ), opened AS (
        INSERT INTO mqtt.callback_circuits AS c (organization_id, url, failures, openings, slow, open_until, error)
        SELECT
            u.organization_id, u.url, u.failures, mqtt.circuit_opens(u.failures, NULL)::integer, u.slow,
            greatest(CASE WHEN mqtt.circuit_opens(u.failures, NULL) THEN clock_timestamp() + interval '10 seconds' END, clock_timestamp() + u.pause), left(u.error, 500)
        FROM url AS u
        WHERE u.pause IS NOT NULL OR NOT u.is_quick
        ORDER BY u.organization_id, u.url
        ON CONFLICT (organization_id, url) DO UPDATE
        SET failures = CASE WHEN excluded.slow > 0 THEN 0 ELSE c.failures + excluded.failures END,
            slow = c.slow + excluded.slow, error = coalesce(excluded.error, c.error),
            openings = c.openings + mqtt.circuit_opens(c.failures + excluded.failures, c.open_until)::integer,
            open_until = greatest(
                CASE
                    WHEN mqtt.circuit_opens(c.failures + excluded.failures, c.open_until)
                        THEN clock_timestamp() + least(interval '10 seconds' * power(2, least(c.openings, 20)), interval '10 minutes')
                    ELSE c.open_until
                END,
                excluded.open_until
            )
        RETURNING c.organization_id, c.url, c.openings, c.slow, c.error
    )
    INSERT INTO mqtt.integration_activity_log (organization_id, integration_id, activity_type, status, message_count, error_message, details)
    SELECT DISTINCT
        t.organization_id, t.integration_id, 'callback_unreachable', 'failed', 0, o.error, jsonb_build_object('subscription_id', t.subscription_id)
    FROM opened AS o
    JOIN unnest(settled) AS t ON t.organization_id = o.organization_id AND t.url = o.url
    WHERE o.openings = 1 AND t.is_down
    UNION ALL
    SELECT DISTINCT
        t.organization_id, t.integration_id, 'callback_slow', 'failed', 0, 'The receiver takes more than 5 seconds to answer: it gets one request at a time.',
        jsonb_build_object('subscription_id', t.subscription_id)
    FROM opened AS o
    JOIN url AS u ON u.organization_id = o.organization_id AND u.url = o.url
    JOIN unnest(settled) AS t ON t.organization_id = o.organization_id AND t.url = o.url
    WHERE o.slow >= 5 AND o.slow - u.slow < 5
    UNION ALL
    SELECT DISTINCT
        t.organization_id, t.integration_id, 'callback_reached', 'success', 0, NULL, jsonb_build_object('subscription_id', t.subscription_id)
    FROM closed AS c
    JOIN unnest(settled) AS t ON t.organization_id = c.organization_id AND t.url = c.url
    WHERE c.openings > 0;
END;
$$;
COMMENT ON FUNCTION mqtt.note_receivers(mqtt.callback_outcome []) IS
'Opens and closes circuit breakers according to what receivers answered, and logs which receivers have become unreachable, slow or reachable again. A part of bridge.settle_callbacks.';
COMMIT;

-- Deploy topicbase:bridge/settle_callbacks to pg
-- requires: bridge/callback_circuits
-- requires: bridge/settle_deliveries
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION bridge.settle_callbacks(
    bridge_id uuid, organization_ids uuid [], ids uuid [], attempts smallint [], codes smallint [], errors text [], responses text [],
    retry_afters integer [], is_final boolean [], seconds real [] DEFAULT NULL
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
-- As in bridge.claim_callbacks.
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
AS $$
DECLARE
    v_settled CONSTANT mqtt.callback_outcome [] := mqtt.settle_deliveries(
        bridge_id, organization_ids, ids, attempts, codes, errors, responses, retry_afters, is_final, seconds
    );
    v_counts jsonb;
BEGIN
    PERFORM mqtt.note_receivers(v_settled);
    SELECT
        jsonb_build_object(
            'delivered', count(*) FILTER (WHERE t.status = 'delivered'),
            'failed', count(*) FILTER (WHERE t.status = 'waiting' AND NOT t.is_released),
            'dead', count(*) FILTER (WHERE t.status = 'dead'),
            'released', count(*) FILTER (WHERE t.is_released)
        )
    INTO v_counts
    FROM unnest(v_settled) AS t;
    IF v_counts -> 'dead' <> '0' THEN
        WITH gone AS (
            UPDATE mqtt.mqtt_subscriptions AS s
            SET callback_gone_at = clock_timestamp()
            FROM (SELECT DISTINCT t.organization_id, t.subscription_id FROM unnest(v_settled) AS t WHERE t.code = 410) AS t
            WHERE s.organization_id = t.organization_id AND s.id = t.subscription_id
            RETURNING s.organization_id, s.integration_id, s.id
        )
        INSERT INTO mqtt.integration_activity_log (organization_id, integration_id, activity_type, status, message_count, error_message, details)
        SELECT
            t.organization_id, t.integration_id, 'callback_dead', 'failed', count(*), max(t.error), jsonb_build_object('subscription_id', t.subscription_id)
        FROM unnest(v_settled) AS t
        WHERE t.status = 'dead' AND t.integration_id IS NOT NULL
        GROUP BY t.organization_id, t.integration_id, t.subscription_id
        UNION ALL
        SELECT
            g.organization_id, g.integration_id, 'callback_paused', 'failed', 0, 'The receiver answered 410 Gone.', jsonb_build_object('subscription_id', g.id)
        FROM gone AS g;
    END IF;
    RETURN v_counts;
END;
$$;
COMMENT ON FUNCTION bridge.settle_callbacks(uuid, uuid [], uuid [], smallint [], smallint [], text [], text [], integer [], boolean [], real []) IS
'Settles claimed requests by their HTTP status or error; by neither if the request was not made, which costs no attempt. 2xx is delivered, 410 pauses the subscription''s callbacks, '
'anything else is tried again, after Retry-After (seconds) at the soonest, until configuration.callback_attempts; is_final: there is no point in trying again. seconds: how long the receiver took; one that is slow again and again gets one request at a time. Attempts that are no longer this bridge''s are passed over. '
'Returns {"delivered", "failed", "dead", "released"}.';
GRANT EXECUTE ON FUNCTION bridge.settle_callbacks(uuid, uuid [], uuid [], smallint [], smallint [], text [], text [], integer [], boolean [], real []) TO mqtt_bridge;
COMMIT;

-- Deploy topicbase:api/mqtt_callbacks to pg
-- requires: api/mqtt_subscribe
-- requires: base/argument_aliases
-- requires: base/wake_bridge
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE VIEW api.mqtt_callback_deliveries WITH (security_invoker = true) AS
SELECT
    d.id, d.organization_id, d.subscription_id, d.message_id, d.status, d.attempts, d.status_code, d.error, d.response, d.created_at, d.attempted_at,
    CASE WHEN d.status = 'waiting' THEN d.due_at END AS next_attempt_at, d.finished_at
FROM mqtt.mqtt_callback_deliveries AS d;
COMMENT ON VIEW api.mqtt_callback_deliveries IS
$md$Callback deliveries

Messages posted, or waiting to be posted, to the callback_url of subscriptions, and what became of them.$md$;
COMMENT ON COLUMN api.mqtt_callback_deliveries.id IS 'Delivery id: the webhook-id header of every attempt';
COMMENT ON COLUMN api.mqtt_callback_deliveries.organization_id IS 'Organization that it belongs to';
COMMENT ON COLUMN api.mqtt_callback_deliveries.subscription_id IS 'Subscription that the message matched';
COMMENT ON COLUMN api.mqtt_callback_deliveries.message_id IS 'Message, by its id in mqtt_messages';
COMMENT ON COLUMN api.mqtt_callback_deliveries.status IS 'waiting (for its first or next attempt), delivered, or dead (given up)';
COMMENT ON COLUMN api.mqtt_callback_deliveries.attempts IS 'Attempts made';
COMMENT ON COLUMN api.mqtt_callback_deliveries.status_code IS 'HTTP status of the last answer';
COMMENT ON COLUMN api.mqtt_callback_deliveries.error IS 'Why the last attempt failed';
COMMENT ON COLUMN api.mqtt_callback_deliveries.response IS 'Beginning of the answer to a failed attempt, at most 200 characters';
COMMENT ON COLUMN api.mqtt_callback_deliveries.created_at IS 'When the message was stored';
COMMENT ON COLUMN api.mqtt_callback_deliveries.attempted_at IS 'When it was last attempted';
COMMENT ON COLUMN api.mqtt_callback_deliveries.next_attempt_at IS 'When the next attempt is due; null unless it is waiting';
COMMENT ON COLUMN api.mqtt_callback_deliveries.finished_at IS 'When it was delivered or given up';
GRANT SELECT ON api.mqtt_callback_deliveries TO authenticated, service_role;

CREATE OR REPLACE FUNCTION mqtt.require_callback(subscription_id uuid) RETURNS mqtt.mqtt_subscriptions
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_subscription mqtt.mqtt_subscriptions := mqtt.require_subscription(require_callback.subscription_id);
BEGIN
    IF v_subscription.callback_url IS NULL THEN
        RAISE EXCEPTION 'callback_missing' USING
            ERRCODE = 'PT400',
            DETAIL = format('Subscription %s has no callback_url.', v_subscription.id),
            HINT = 'Call mqtt_subscribe for the same topic with a callback_url.';
    END IF;
    RETURN v_subscription;
END;
$$;
COMMENT ON FUNCTION mqtt.require_callback(uuid) IS
'The subscription, if the caller may see it (else PT404 subscription_not_found) and is an admin of its organization (else PT403 admin_required), and it has a callback_url (else PT400 callback_missing).';
GRANT EXECUTE ON FUNCTION mqtt.require_callback(uuid) TO authenticated, service_role;

CREATE OR REPLACE FUNCTION api.rotate_mqtt_callback_secret(
    subscription_id uuid, grace_seconds integer DEFAULT NULL, callback_secret jsonb DEFAULT NULL, grace interval DEFAULT NULL
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_subscription mqtt.mqtt_subscriptions := mqtt.require_callback(rotate_mqtt_callback_secret.subscription_id);
    v_grace CONSTANT interval := coalesce(
        mqtt.one_of(
            rotate_mqtt_callback_secret.grace, make_interval(secs => rotate_mqtt_callback_secret.grace_seconds), 'grace', 'grace_seconds'
        ), '1 day'
    );
    v_secret text;
BEGIN
    IF v_grace NOT BETWEEN '0' AND '30 days' THEN
        RAISE EXCEPTION 'grace_invalid' USING
            ERRCODE = 'PT400',
            DETAIL = 'grace must be a span of time from 0 to 30 days, such as "1 hour" or 3600 (seconds).',
            HINT = 'For that long, requests have both signatures.';
    END IF;
    v_secret := mqtt.set_callback_secret(
        v_subscription.organization_id, v_subscription.id, rotate_mqtt_callback_secret.callback_secret, v_grace
    );
    RETURN jsonb_build_object('subscription_id', v_subscription.id)
        || CASE WHEN v_secret IS NULL THEN '{}' ELSE jsonb_build_object('callback_secret', v_secret) END;
END;
$$;
COMMENT ON FUNCTION api.rotate_mqtt_callback_secret(uuid, integer, jsonb, interval) IS
$md$Give a subscription's callbacks a new secret

The answer is the only place that ever shows `callback_secret`. For grace (one day by default, at most 30 days) requests are
signed with the old secret as well: they have two signatures, as Standard Webhooks describes. grace_seconds is an older name for grace. You
can send a sealed secret of your own as callback_secret, `{"sealed": "<base64>"}`; the answer then has none.
Errors: 400 `callback_missing`, `grace_invalid`, `argument_conflict`, `callback_secret_invalid`, `sealing_unavailable`; 403 `admin_required`;
404 `subscription_not_found`.
Body: {"callback_secret": {"sealed": "text"}}
Answer: {"subscription_id": "uuid", "callback_secret?": "text"}$md$;
GRANT EXECUTE ON FUNCTION api.rotate_mqtt_callback_secret(uuid, integer, jsonb, interval) TO authenticated, service_role;

CREATE OR REPLACE FUNCTION api.replay_mqtt_callback_deliveries(subscription_id uuid, ids uuid [] DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_subscription mqtt.mqtt_subscriptions := mqtt.require_callback(replay_mqtt_callback_deliveries.subscription_id);
    v_replayed integer;
BEGIN
    IF v_subscription.callback_gone_at IS NOT NULL OR v_subscription.is_paused THEN
        RAISE EXCEPTION 'callback_paused' USING
            ERRCODE = 'PT409',
            DETAIL = format(
                'Nothing is posted for subscription %s while %s.', v_subscription.id,
                coalesce('its receiver is gone (410 at ' || v_subscription.callback_gone_at || ')', 'it is paused')
            ),
            HINT = 'Call mqtt_subscribe for the same topic with the callback_url, which ends the pause, and then replay.';
    END IF;
    WITH chosen AS (
        SELECT d.id
        FROM mqtt.mqtt_callback_deliveries AS d
        WHERE d.organization_id = v_subscription.organization_id AND d.subscription_id = v_subscription.id
            AND CASE
                WHEN replay_mqtt_callback_deliveries.ids IS NULL THEN d.status = 'dead'
                ELSE d.id = ANY (replay_mqtt_callback_deliveries.ids) AND d.status <> 'waiting'
            END
        ORDER BY d.created_at
        LIMIT 10000
        FOR UPDATE
    )
    UPDATE mqtt.mqtt_callback_deliveries AS d
    SET status = 'waiting', attempts = 0, due_at = clock_timestamp(), finished_at = NULL
    FROM chosen AS x
    WHERE d.organization_id = v_subscription.organization_id AND d.id = x.id;
    GET DIAGNOSTICS v_replayed = ROW_COUNT;
    IF v_replayed > 0 THEN
        PERFORM mqtt.log_activity(
            v_subscription.organization_id, v_subscription.integration_id, 'callbacks_replayed',
            details => jsonb_build_object('subscription_id', v_subscription.id, 'count', v_replayed, 'user_id', mqtt.current_user_id())
        );
        PERFORM mqtt.wake_bridge('callback');
    END IF;
    RETURN jsonb_build_object('replayed', v_replayed);
END;
$$;
COMMENT ON FUNCTION api.replay_mqtt_callback_deliveries(uuid, uuid []) IS
$md$Post dead deliveries again

Posts all dead deliveries of a subscription again, the oldest 10,000 per call, or those that ids names, including delivered ones. Each keeps
its id, so a receiver can recognize one that it has already seen. A delivery whose message has left the history becomes dead again.
Returns `{"replayed": n}`. While a subscription is paused, also by its receiver's 410 Gone, nothing can be replayed.
Errors: 400 `callback_missing`; 403 `admin_required`; 404 `subscription_not_found`; 409 `callback_paused`.
Answer: {"replayed": "integer"}$md$;
GRANT EXECUTE ON FUNCTION api.replay_mqtt_callback_deliveries(uuid, uuid []) TO authenticated, service_role;
COMMIT;

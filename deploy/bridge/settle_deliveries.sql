-- Deploy topicbase:bridge/settle_deliveries to pg
-- requires: bridge/callback_outcome
-- requires: process/process_batch
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.settle_deliveries(
    bridge_id uuid, organization_ids uuid [], ids uuid [], attempts smallint [], codes smallint [], errors text [], responses text [],
    retry_afters integer [], is_final boolean [], seconds real []
) RETURNS mqtt.callback_outcome []
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- Further settings are those of bridge.settle_callbacks, which calls it.
AS $$
#variable_conflict use_column
DECLARE
    v_most CONSTANT smallint := (SELECT c.callback_attempts FROM mqtt.configuration AS c);
    v_settled mqtt.callback_outcome [];
BEGIN
    WITH outcome AS (
        SELECT
            o.*, o.code IS NULL AND o.error IS NULL AS is_released, o.code BETWEEN 200 AND 299 AS is_delivered,
            CASE WHEN o.retry_after > 0 THEN least(o.retry_after, 86400) * interval '1 second' END AS pause
        FROM unnest(
            settle_deliveries.organization_ids, settle_deliveries.ids, settle_deliveries.attempts, settle_deliveries.codes, settle_deliveries.errors,
            settle_deliveries.responses, settle_deliveries.retry_afters, settle_deliveries.is_final, settle_deliveries.seconds
        ) AS o (organization_id, id, attempt, code, error, response, retry_after, is_final, seconds)
    ), settled AS (
        UPDATE mqtt.mqtt_callback_deliveries AS d
        SET bridge_id = NULL,
            attempts = d.attempts - o.is_released::integer,
            status = CASE
                WHEN o.is_delivered THEN 'delivered'
                WHEN o.is_released THEN 'waiting'
                WHEN o.is_final OR o.code = 410 OR d.attempts >= v_most THEN 'dead'
                ELSE 'waiting'
            END,
            due_at = CASE
                WHEN o.is_released THEN clock_timestamp()
                WHEN o.is_delivered THEN d.due_at
                ELSE clock_timestamp() + greatest(mqtt.retry_delay(d.attempts), o.pause)
            END,
            finished_at = CASE
                WHEN o.is_delivered OR NOT o.is_released AND (o.is_final OR o.code = 410 OR d.attempts >= v_most) THEN clock_timestamp()
            END,
            status_code = CASE WHEN o.is_released THEN d.status_code ELSE o.code END,
            error = CASE WHEN o.is_released THEN d.error WHEN NOT o.is_delivered IS TRUE THEN left(o.error, 500) END,
            response = CASE WHEN o.is_released THEN d.response WHEN NOT o.is_delivered IS TRUE THEN left(o.response, 200) END
        FROM outcome AS o
        WHERE d.organization_id = o.organization_id AND d.id = o.id AND d.status = 'waiting' AND d.attempts = o.attempt
            AND d.bridge_id = settle_deliveries.bridge_id
        RETURNING d.organization_id, d.subscription_id, d.status, o.code, o.error, o.is_released, o.is_final, o.pause, o.seconds
    )
    SELECT
        array_agg(ROW(
            t.organization_id, s.integration_id, t.subscription_id, s.callback_url, t.status, t.code, t.error, t.pause, t.is_released,
            -- A receiver that answers about this message is reachable; a fault on our side says nothing about the receiver.
            coalesce(t.code NOT IN (408, 429) AND t.code BETWEEN 200 AND 499, false),
            NOT t.is_released AND NOT t.is_final AND coalesce(t.code IN (408, 429) OR t.code NOT BETWEEN 200 AND 499, true), coalesce(t.seconds > 5, false)
        )::mqtt.callback_outcome)
    INTO v_settled
    FROM settled AS t
    LEFT JOIN mqtt.mqtt_subscriptions AS s ON s.organization_id = t.organization_id AND s.id = t.subscription_id;
    RETURN v_settled;
END;
$$;
COMMENT ON FUNCTION mqtt.settle_deliveries(uuid, uuid [], uuid [], smallint [], smallint [], text [], text [], integer [], boolean [], real []) IS
'Settles deliveries with the arguments of bridge.settle_callbacks: delivered, dead, or waiting for the next attempt. Returns what became of each; null if none of them was this bridge''s. A part of bridge.settle_callbacks.';
COMMIT;

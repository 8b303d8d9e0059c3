-- Deploy topicbase:bridge_settle_outbound to pg
-- requires: bridge_claim_outbound
-- requires: mqtt_publish_receipts
-- requires: mqtt_dead_letters
-- requires: integration_activity_log
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE FUNCTION mqtt.settle_outbound(
    msg_ids bigint [], states text [], reason_codes smallint [], reasons text [], bridge_id uuid DEFAULT NULL
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_counts jsonb;
BEGIN
    -- PL/pgSQL, since it keeps the plan.
    WITH outcome AS (
        SELECT o.msg_id, o.state, o.reason_code, left(o.reason, 500) AS reason
        FROM unnest(
            settle_outbound.msg_ids, settle_outbound.states, settle_outbound.reason_codes, settle_outbound.reasons
        ) AS o (msg_id, state, reason_code, reason)
    ), gone AS MATERIALIZED (
        DELETE FROM pgmq.q_mqtt_outbound AS q
        USING outcome AS o
        WHERE q.msg_id = o.msg_id AND (
            settle_outbound.bridge_id IS NULL
            OR q.integration_id IN (SELECT l.integration_id FROM mqtt.bridge_leases AS l WHERE l.bridge_id = settle_outbound.bridge_id)
        )
        RETURNING
            q.organization_id, q.integration_id, q.enqueued_at, q.message, q.body, mqtt.message_id(q.enqueued_at, q.msg_id, true) AS id,
            q.attempts + (o.state IN ('sent', 'acknowledged', 'failed'))::integer AS attempts,
            coalesce((q.message ->> 'qos')::smallint, 0::smallint) AS qos, coalesce(q.message ->> 'topic', '') AS topic,
            o.state, o.reason_code, o.reason
    ), receipts AS (
        INSERT INTO mqtt.mqtt_publish_receipts (queued_at, organization_id, id, integration_id, qos, attempts, reason_code, state, topic, reason)
        SELECT g.enqueued_at, g.organization_id, g.id, g.integration_id, g.qos, g.attempts, g.reason_code, g.state, g.topic, g.reason
        FROM gone AS g
    ), history AS (
        INSERT INTO mqtt.mqtt_messages (
            received_at, organization_id, id, integration_id, direction, qos, retain, topic, payload, content_type, body, properties
        )
        SELECT
            g.enqueued_at, g.organization_id, g.id, g.integration_id, 'outgoing', g.qos, coalesce((g.message ->> 'retain')::boolean, false),
            g.topic, CASE WHEN g.body IS NULL THEN coalesce(g.message -> 'payload', 'null') ELSE 'null' END, g.message ->> 'content_type',
            g.body, nullif(g.message - '{topic,payload,qos,retain,content_type}'::text [], '{}')
        FROM gone AS g
        WHERE g.state IN ('sent', 'acknowledged')
    ), dead AS (
        INSERT INTO mqtt.mqtt_dead_letters (
            received_at, organization_id, id, integration_id, direction, attempts, topic, message, body, error_message, errors
        )
        SELECT
            g.enqueued_at, g.organization_id, g.id, g.integration_id, 'outgoing', g.attempts, g.topic, g.message, g.body,
            coalesce(g.reason, 'failed'),
            jsonb_build_array(jsonb_build_object('at', clock_timestamp(), 'code', g.reason_code, 'error', coalesce(g.reason, 'failed')))
        FROM gone AS g
        WHERE g.state = 'failed'
    ), logged AS (
        INSERT INTO mqtt.integration_activity_log (
            organization_id, integration_id, direction, message_count, activity_type, status, error_message
        )
        SELECT
            g.organization_id, g.integration_id, 'outgoing', count(*),
            CASE g.state WHEN 'failed' THEN 'publish_failed' WHEN 'expired' THEN 'publish_expired' ELSE 'messages_published' END,
            CASE WHEN g.state IN ('sent', 'acknowledged') THEN 'success' ELSE 'failed' END,
            CASE WHEN g.state NOT IN ('sent', 'acknowledged') THEN coalesce(g.reason, g.state) END
        FROM gone AS g
        GROUP BY g.organization_id, g.integration_id, 5, 6, 7
    )
    SELECT coalesce(jsonb_object_agg(s.state, s.n), '{}') INTO v_counts
    FROM (SELECT g.state, count(*) AS n FROM gone AS g GROUP BY g.state) AS s;
    RETURN v_counts;
END;
$$;
COMMENT ON FUNCTION mqtt.settle_outbound(bigint [], text [], smallint [], text [], uuid) IS
'Ends messages of the outbound queue as sent, acknowledged, failed, expired or cancelled, in one statement with all that follows: receipt, history (when it went out), '
'dead letter (when it failed), activity log. Returns how many of each; a message that is not queued any more is passed over, and with bridge_id one that this bridge does not hold.';

CREATE FUNCTION bridge.settle_outbound(
    bridge_id uuid, msg_ids bigint [], states text [], reason_codes smallint [], reasons text [], batches bigint [] DEFAULT '{}'
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_counts jsonb := '{}';
BEGIN
    IF cardinality(msg_ids) > 0 THEN
        v_counts := mqtt.settle_outbound(msg_ids, states, reason_codes, reasons, bridge_id);
    END IF;
    IF cardinality(batches) > 0 THEN
        DELETE FROM mqtt.outbound_batches AS b
        WHERE b.id = ANY (settle_outbound.batches) AND b.bridge_id = settle_outbound.bridge_id;
    END IF;
    RETURN v_counts;
END;
$$;
COMMENT ON FUNCTION bridge.settle_outbound(uuid, bigint [], text [], smallint [], text [], bigint []) IS
'What became of messages that the bridge had claimed: sent (QoS 0), acknowledged (PUBACK, PUBCOMP) or failed, with reason code and reason; and the batches that are done with. '
'Messages of integrations that the bridge does not hold any more are passed over.';
GRANT EXECUTE ON FUNCTION bridge.settle_outbound(uuid, bigint [], text [], smallint [], text [], bigint []) TO mqtt_bridge;

CREATE FUNCTION bridge.expire_outbound(batch_size integer DEFAULT 1000) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_expired bigint [];
BEGIN
    IF NOT EXISTS (SELECT FROM pgmq.q_mqtt_outbound AS q WHERE q.expires_at <= clock_timestamp()) THEN
        RETURN 0;
    END IF;
    PERFORM pg_advisory_xact_lock(1953460325, 0);  -- see bridge.claim_outbound
    v_expired := ARRAY(
        SELECT q.msg_id
        FROM pgmq.q_mqtt_outbound AS q
        WHERE q.expires_at <= clock_timestamp()
            AND NOT EXISTS (SELECT FROM mqtt.outbound_batches AS b WHERE q.msg_id = ANY (b.msg_ids) AND b.organization_id = q.organization_id)
        ORDER BY q.expires_at
        LIMIT batch_size
        FOR UPDATE OF q SKIP LOCKED
    );
    IF cardinality(v_expired) > 0 THEN
        PERFORM mqtt.settle_outbound(
            v_expired, array_fill('expired'::text, ARRAY[cardinality(v_expired)]), '{}',
            array_fill('Its message_expiry passed before the broker could be given it.'::text, ARRAY[cardinality(v_expired)])
        );
    END IF;
    RETURN cardinality(v_expired);
END;
$$;
COMMENT ON FUNCTION bridge.expire_outbound(integer) IS
'Settles messages whose message_expiry has passed, also of brokers that are down; returns how many. One that a bridge has in hand is left to it.';
GRANT EXECUTE ON FUNCTION bridge.expire_outbound(integer) TO mqtt_bridge;
COMMIT;

-- Deploy topicbase:bridge/settle_outbound to pg
-- requires: publish/settle_outbound
-- requires: tables/outbound_batches
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION bridge.settle_outbound(
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
'Settles messages that the bridge had claimed, as sent (QoS 0), acknowledged (PUBACK, PUBCOMP) or failed, with reason code and reason, and ends the batches that are complete. '
'Messages of integrations that the bridge no longer holds are passed over.';
GRANT EXECUTE ON FUNCTION bridge.settle_outbound(uuid, bigint [], text [], smallint [], text [], bigint []) TO mqtt_bridge;

CREATE OR REPLACE FUNCTION bridge.expire_outbound(batch_size integer DEFAULT 1000) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_expired bigint [];
BEGIN
    IF NOT EXISTS (SELECT FROM pgmq.q_mqtt_outbound AS q WHERE q.expires_at <= clock_timestamp()) THEN
        RETURN 0;
    END IF;
    PERFORM pg_advisory_xact_lock(mqtt.outbound_lock(), 0);  -- see bridge.claim_outbound
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
            array_fill('Its message_expiry passed before it could be sent to the broker.'::text, ARRAY[cardinality(v_expired)])
        );
    END IF;
    RETURN cardinality(v_expired);
END;
$$;
COMMENT ON FUNCTION bridge.expire_outbound(integer) IS
'Settles messages whose message_expiry has passed, including those for brokers that are down; returns how many. A message that a bridge has claimed is left to that bridge.';
GRANT EXECUTE ON FUNCTION bridge.expire_outbound(integer) TO mqtt_bridge;
COMMIT;

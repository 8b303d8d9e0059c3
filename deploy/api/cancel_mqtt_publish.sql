-- Deploy topicbase:api/cancel_mqtt_publish to pg
-- requires: api/get_mqtt_publish_receipts
-- requires: publish/settle_outbound
-- requires: tables/outbound_batches
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.lock_outbound() RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Whoever waits in the lock's queue makes all claims that come later wait behind it, of all organizations. So it asks first, for a second.
    WHILE NOT pg_try_advisory_xact_lock(mqtt.outbound_lock(), 0) LOOP
        IF clock_timestamp() > statement_timestamp() + interval '1 second' THEN
            PERFORM pg_advisory_xact_lock(mqtt.outbound_lock(), 0);
            RETURN;
        END IF;
        PERFORM pg_sleep(0.005);
    END LOOP;
END;
$$;
COMMENT ON FUNCTION mqtt.lock_outbound() IS
'Takes mqtt.outbound_lock exclusively: claims in progress are visible then, and later ones see what this transaction does (bridge.claim_outbound).';

CREATE OR REPLACE FUNCTION api.cancel_mqtt_publish(receipt_ids uuid [])
RETURNS TABLE (
    receipt_id uuid, state text, organization_id uuid, integration_id uuid, topic text, qos smallint, attempts smallint, reason_code smallint,
    reason text, queued_at timestamptz, settled_at timestamptz
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_limit integer := (SELECT c.max_batch_messages FROM mqtt.configuration AS c);
    v_receipts mqtt.mqtt_publish_receipts [];
    v_queued bigint [];
    v_cancelled bigint [];
BEGIN
    IF cardinality(receipt_ids) > v_limit THEN
        RAISE EXCEPTION 'batch_too_large' USING
            ERRCODE = 'PT413',
            DETAIL = format('%s receipt ids are more than the %s that one call may have.', cardinality(receipt_ids), v_limit),
            HINT = 'Cancel them in several calls.';
    END IF;
    -- All that the caller's ids can make expensive comes before the lock.
    v_receipts := ARRAY(SELECT r FROM mqtt.publish_receipts(receipt_ids) AS r);
    v_queued := ARRAY(SELECT q.msg_id FROM mqtt.receipts_in_queue(receipt_ids) AS q);
    IF cardinality(v_queued) > 0 THEN
        PERFORM mqtt.lock_outbound();
    END IF;
    -- Messages that a bridge has claimed are left to it.
    v_cancelled := ARRAY(
        SELECT q.msg_id
        FROM pgmq.q_mqtt_outbound AS q
        WHERE q.msg_id = ANY (v_queued)
            AND NOT EXISTS (
                SELECT FROM mqtt.outbound_batches AS b
                WHERE b.organization_id = q.organization_id AND b.integration_id = q.integration_id AND q.msg_id = ANY (b.msg_ids)
            )
        ORDER BY q.msg_id
        FOR UPDATE OF q SKIP LOCKED
    );
    IF cardinality(v_cancelled) > 0 THEN
        PERFORM mqtt.settle_outbound(
            v_cancelled, array_fill('cancelled'::text, ARRAY[cardinality(v_cancelled)]), '{}',
            array_fill('Cancelled before it was sent to the broker.'::text, ARRAY[cardinality(v_cancelled)])
        );
    END IF;
    RETURN QUERY
    SELECT
        r.id, coalesce(s.state, r.state), r.organization_id, r.integration_id, r.topic, r.qos, coalesce(s.attempts, r.attempts),
        coalesce(s.reason_code, r.reason_code), coalesce(s.reason, r.reason), r.queued_at, coalesce(s.settled_at, r.settled_at)
    FROM unnest(v_receipts) WITH ORDINALITY AS r (
        queued_at, settled_at, organization_id, id, integration_id, qos, attempts, reason_code, state, topic, reason, place
    )
    LEFT JOIN LATERAL (
        SELECT x.*
        FROM mqtt.mqtt_publish_receipts AS x
        WHERE r.state = 'queued' AND x.organization_id = r.organization_id AND x.queued_at = r.queued_at AND x.id = r.id
        LIMIT 1
    ) AS s ON true
    ORDER BY r.place;
END;
$$;
COMMENT ON FUNCTION api.cancel_mqtt_publish(uuid []) IS
$md$Cancel messages that are still queued

Returns the receipts as get_mqtt_publish_receipts does: a message that could be cancelled is `cancelled`; one that is still `queued` has
already been claimed by the bridge and will be sent.
Errors: 413 `batch_too_large`.$md$;
GRANT EXECUTE ON FUNCTION api.cancel_mqtt_publish(uuid []) TO authenticated, service_role;
COMMIT;

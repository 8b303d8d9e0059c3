-- Deploy topicbase:careful_attempts to pg
-- requires: process_batch
BEGIN;
SET LOCAL ROLE mqtt_owner;
CREATE FUNCTION mqtt.begin_attempt(accepted_before timestamptz) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_row record;
BEGIN
    LOOP
        SELECT
            q.ctid, q.msg_id, q.attempts,
            coalesce((i.settings ->> 'max_attempts')::integer, c.max_attempts) AS max_attempts
        INTO v_row
        FROM pgmq.q_mqtt_messages AS q
        CROSS JOIN mqtt.configuration AS c
        LEFT JOIN mqtt.device_integrations AS i ON i.id = q.integration_id
        WHERE q.vt <= clock_timestamp() AND q.enqueued_at <= accepted_before
        ORDER BY q.msg_id
        LIMIT 1
        FOR UPDATE OF q SKIP LOCKED;
        IF NOT found THEN
            RETURN NULL;
        END IF;
        IF v_row.attempts < v_row.max_attempts THEN
            UPDATE pgmq.q_mqtt_messages AS q
            SET attempts = q.attempts + 1,
                vt = clock_timestamp() + interval '60 seconds',
                errors = coalesce(q.errors, '[]') || jsonb_build_object(
                    'at', clock_timestamp(), 'code', 'interrupted', 'error', 'The attempt ended with its database session or at its time limit.'
                )
            WHERE q.ctid = v_row.ctid;
            RETURN v_row.msg_id;
        END IF;
        PERFORM mqtt.record_failure(v_row.ctid, 'interrupted', 'Each attempt ended with its database session or at its time limit.', true);
    END LOOP;
END;
$$;
COMMENT ON FUNCTION mqtt.begin_attempt(timestamptz) IS
'Counts an attempt for the oldest due message accepted until then and hides it for a minute; to be committed before mqtt.finish_attempt. What has used up its attempts so becomes a dead letter. Returns its msg_id, null when there is none. For the time after a worker died or hung: one message in its last batch may be why.';

CREATE FUNCTION mqtt.finish_attempt(attempted bigint) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_tid tid;
    v_organization_id uuid;
BEGIN
    SELECT q.ctid, q.organization_id INTO v_tid, v_organization_id FROM pgmq.q_mqtt_messages AS q WHERE q.msg_id = attempted;
    IF NOT found THEN
        RETURN 'gone';
    END IF;
    PERFORM pg_advisory_xact_lock(1953460323, hashtext(v_organization_id::text));
    PERFORM mqtt.store_messages(ARRAY[v_tid]);
    RETURN 'processed';
EXCEPTION
    WHEN lock_not_available OR serialization_failure OR deadlock_detected OR insufficient_resources OR operator_intervention OR system_error THEN
        RAISE;
    WHEN OTHERS THEN
        RETURN mqtt.record_failure(v_tid, SQLSTATE, SQLERRM, true);
END;
$$;
COMMENT ON FUNCTION mqtt.finish_attempt(bigint) IS
'Processes the message that mqtt.begin_attempt returned: processed, failed (waits for its next attempt), dead or gone.';

CREATE FUNCTION bridge.begin_attempt(accepted_before timestamptz) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT mqtt.begin_attempt(accepted_before);
$$;
COMMENT ON FUNCTION bridge.begin_attempt(timestamptz) IS 'mqtt.begin_attempt for the bridge: call until null after a worker session died or ran into its time limit.';
GRANT EXECUTE ON FUNCTION bridge.begin_attempt(timestamptz) TO mqtt_bridge;

CREATE FUNCTION bridge.finish_attempt(attempted bigint) RETURNS text
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT mqtt.finish_attempt(attempted);
$$;
COMMENT ON FUNCTION bridge.finish_attempt(bigint) IS 'mqtt.finish_attempt for the bridge, in a transaction after that of begin_attempt.';
GRANT EXECUTE ON FUNCTION bridge.finish_attempt(bigint) TO mqtt_bridge;
COMMIT;

-- Deploy topicbase:bridge/attempts to pg
-- requires: process/attempts
-- requires: process/workers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION bridge.suspects(tids tid []) RETURNS bigint []
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_tids CONSTANT tid [] := mqtt.split_items(tids);
BEGIN
    RETURN (SELECT coalesce(array_agg(q.msg_id ORDER BY q.msg_id), '{}') FROM pgmq.q_mqtt_messages AS q WHERE q.ctid = ANY (v_tids));
END;
$$;
COMMENT ON FUNCTION bridge.suspects(tid []) IS 'The msg_ids of the batch that bridge.process_queue named before its session died or reached its time limit: one of them may be the cause. Work items are split first.';
GRANT EXECUTE ON FUNCTION bridge.suspects(tid []) TO mqtt_bridge;

CREATE OR REPLACE FUNCTION bridge.organizations_of(tids tid []) RETURNS uuid []
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(array_agg(DISTINCT q.organization_id), '{}') FROM pgmq.q_mqtt_messages AS q WHERE q.ctid = ANY (tids);
$$;
COMMENT ON FUNCTION bridge.organizations_of(tid []) IS 'The organizations that have messages in a batch which bridge.process_queue named.';
GRANT EXECUTE ON FUNCTION bridge.organizations_of(tid []) TO mqtt_bridge;

CREATE OR REPLACE FUNCTION bridge.oldest_queued(organization_id uuid) RETURNS bigint []
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(array_agg(x.msg_id ORDER BY x.msg_id), '{}')
    FROM (
        SELECT q.msg_id
        FROM pgmq.q_mqtt_messages AS q
        WHERE q.organization_id = oldest_queued.organization_id AND q.vt <= clock_timestamp() + interval '30 seconds'
        ORDER BY q.vt
        LIMIT 250
    ) AS x;
$$;
COMMENT ON FUNCTION bridge.oldest_queued(uuid) IS
'The msg_ids of an organization that are due next, or can be attempted again (mqtt.begin_attempt), at most 250: the suspects where a batch of that organization alone has reached its time limit.';
GRANT EXECUTE ON FUNCTION bridge.oldest_queued(uuid) TO mqtt_bridge;

CREATE OR REPLACE FUNCTION bridge.begin_attempt(accepted_before timestamptz, suspects bigint [] DEFAULT NULL) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT mqtt.begin_attempt(accepted_before, suspects);
$$;
COMMENT ON FUNCTION bridge.begin_attempt(timestamptz, bigint []) IS
'mqtt.begin_attempt for the bridge: call it until it returns null, after a worker session died or reached its time limit. suspects: the result of bridge.suspects; null if the batch is not known.';
GRANT EXECUTE ON FUNCTION bridge.begin_attempt(timestamptz, bigint []) TO mqtt_bridge;

CREATE OR REPLACE FUNCTION bridge.finish_attempt(attempted bigint) RETURNS text
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT mqtt.finish_attempt(attempted);
$$;
COMMENT ON FUNCTION bridge.finish_attempt(bigint) IS 'mqtt.finish_attempt for the bridge, in a transaction after that of begin_attempt.';
GRANT EXECUTE ON FUNCTION bridge.finish_attempt(bigint) TO mqtt_bridge;

CREATE OR REPLACE FUNCTION bridge.begin_work(bridge_id uuid) RETURNS boolean
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT mqtt.begin_work(bridge_id);
$$;
COMMENT ON FUNCTION bridge.begin_work(uuid) IS 'mqtt.begin_work for the queue worker of a bridge.';
GRANT EXECUTE ON FUNCTION bridge.begin_work(uuid) TO mqtt_bridge;

CREATE OR REPLACE FUNCTION bridge.end_work(bridge_id uuid) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT mqtt.end_work(bridge_id);
$$;
COMMENT ON FUNCTION bridge.end_work(uuid) IS 'mqtt.end_work for the queue worker of a bridge.';
GRANT EXECUTE ON FUNCTION bridge.end_work(uuid) TO mqtt_bridge;
COMMIT;

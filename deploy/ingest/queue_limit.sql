-- Deploy topicbase:ingest/queue_limit to pg
-- requires: tables/ledger
-- requires: tables/queues
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.is_queue_full(organization_id uuid, max_queued bigint) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_look CONSTANT integer := least(max_queued + 1, 200);
    v_rows integer;
    v_messages bigint;
BEGIN
    SELECT count(*), coalesce(sum(x.message_count), 0) INTO v_rows, v_messages
    FROM (SELECT q.message_count FROM pgmq.q_mqtt_messages AS q WHERE q.organization_id = is_queue_full.organization_id LIMIT v_look) AS x;
    IF v_messages > max_queued OR v_rows < v_look THEN
        RETURN v_messages > max_queued;
    END IF;
    -- Many wait: the counters tell how many.
    RETURN (
        SELECT sum(l.accepted - l.completed - l.dead - l.expired) > max_queued
        FROM mqtt.ledger AS l
        WHERE l.organization_id = is_queue_full.organization_id AND l.shard > mqtt.ledger_level_settled()
    );
END;
$$;
COMMENT ON FUNCTION mqtt.is_queue_full(uuid, bigint) IS
'Whether more messages of an organization wait to be processed than may (max_queued).';
COMMIT;

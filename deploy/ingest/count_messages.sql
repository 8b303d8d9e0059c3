-- Deploy topicbase:ingest/count_messages to pg
-- requires: base/wake_bridge
-- requires: tables/ledger
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.ledger_shard() RETURNS integer
LANGUAGE sql STABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT pg_backend_pid() % 64 + 64 * (date_part('second', now())::integer / 5);
END;
COMMENT ON FUNCTION mqtt.ledger_shard() IS
'Where this backend counts what it accepts now: its own row, so that no two wait for one, and a new one every 5 seconds, since while an old transaction holds back vacuum each update reads all earlier versions of its row.';

CREATE OR REPLACE FUNCTION mqtt.count_accepted(organization_id uuid, messages integer, wakes boolean DEFAULT true) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    -- PL/pgSQL, since it keeps the plan from call to call.
    UPDATE mqtt.ledger AS l
    SET accepted = l.accepted + messages
    WHERE l.organization_id = count_accepted.organization_id AND l.bucket = date_trunc('minute', now()) AND l.shard = mqtt.ledger_shard();
    IF NOT found THEN
        INSERT INTO mqtt.ledger AS l (organization_id, bucket, shard, accepted)
        VALUES (count_accepted.organization_id, date_trunc('minute', now()), mqtt.ledger_shard(), messages)
        ON CONFLICT ON CONSTRAINT ledger_pkey DO UPDATE SET accepted = l.accepted + excluded.accepted;
    END IF;
    IF wakes THEN
        PERFORM mqtt.wake_bridge('ingest');
    END IF;
END;
$$;
COMMENT ON FUNCTION mqtt.count_accepted(uuid, integer, boolean) IS
'Counts messages queued in this transaction and wakes a bridge that sleeps; whoever inserts into pgmq.q_mqtt_messages calls it in the same transaction, for each organization. wakes: whether to wake; once a transaction is enough.';

CREATE OR REPLACE FUNCTION mqtt.count_dead(organization_id uuid, accepted_at timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    INSERT INTO mqtt.ledger AS l (organization_id, bucket, shard, dead)
    VALUES (count_dead.organization_id, date_trunc('minute', accepted_at), mqtt.ledger_level_outcomes(), 1)
    ON CONFLICT ON CONSTRAINT ledger_pkey DO UPDATE SET dead = l.dead + excluded.dead;
END;
$$;
COMMENT ON FUNCTION mqtt.count_dead(uuid, timestamptz) IS 'Counts a message accepted at that time that became a dead letter.';
COMMIT;

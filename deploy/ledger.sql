-- Deploy topicbase:ledger to pg
-- requires: organizations
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TABLE mqtt.ledger (
    organization_id uuid NOT NULL,
    bucket timestamptz NOT NULL,
    shard smallint NOT NULL,
    accepted bigint NOT NULL DEFAULT 0,
    completed bigint NOT NULL DEFAULT 0,
    dead bigint NOT NULL DEFAULT 0,
    expired bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (organization_id, bucket, shard)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
COMMENT ON TABLE mqtt.ledger IS
'Per organization and minute in which messages were accepted: how many, and what became of them. accepted = completed + dead + expired + still queued, always.';
COMMENT ON COLUMN mqtt.ledger.bucket IS 'Minute (whole hours once it is old, -infinity for all that is older than any term of retention) in which the messages were accepted.';
COMMENT ON COLUMN mqtt.ledger.shard IS
'Rows that are added up: 0 and more by the backend that accepted and the time within the minute (mqtt.ledger_shard); -1 written by the workers; -3 rolled up to the minute; -2 rolled up to the hour; -4 an hour whose messages are all settled.';
-- What waits is looked for every second, among rows that may still change; hours that are settled only grow in number.
CREATE INDEX ledger_open_idx ON mqtt.ledger (organization_id, bucket) WHERE shard > -4;
CREATE INDEX ledger_settled_idx ON mqtt.ledger (bucket) WHERE shard = -4;
ALTER TABLE mqtt.ledger ENABLE ROW LEVEL SECURITY;
CREATE POLICY members_read ON mqtt.ledger FOR SELECT TO authenticated
USING (organization_id = ANY ((SELECT mqtt.current_organization_ids())::uuid []));
GRANT SELECT ON mqtt.ledger TO authenticated, service_role;

CREATE FUNCTION mqtt.ledger_shard() RETURNS integer
LANGUAGE sql STABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT pg_backend_pid() % 64 + 64 * (date_part('second', now())::integer / 5);
END;
COMMENT ON FUNCTION mqtt.ledger_shard() IS
'Where this backend counts what it accepts now: its own row, so that no two wait for one, and a new one every 5 seconds, since while an old transaction holds back vacuum each update reads all earlier versions of its row.';

CREATE FUNCTION mqtt.count_accepted(organization_id uuid, messages integer) RETURNS void
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
END;
$$;
COMMENT ON FUNCTION mqtt.count_accepted(uuid, integer) IS
'Counts messages queued in this transaction; whoever inserts into pgmq.q_mqtt_messages calls it in the same transaction.';

CREATE FUNCTION mqtt.count_dead(organization_id uuid, accepted_at timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    INSERT INTO mqtt.ledger AS l (organization_id, bucket, shard, dead)
    VALUES (count_dead.organization_id, date_trunc('minute', accepted_at), -1, 1)
    ON CONFLICT ON CONSTRAINT ledger_pkey DO UPDATE SET dead = l.dead + excluded.dead;
END;
$$;
COMMENT ON FUNCTION mqtt.count_dead(uuid, timestamptz) IS 'Counts a message accepted at that time that became a dead letter.';

CREATE FUNCTION mqtt.roll_up_ledger(older_than interval DEFAULT '2 hours') RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_hour CONSTANT timestamptz := date_trunc('hour', now() - older_than);
    v_day CONSTANT timestamptz := now() - make_interval(days => greatest(mqtt.longest_term('completed_days'), mqtt.longest_term('failed_days')) + 1);
    v_rows bigint;
BEGIN
    WITH old AS (
        DELETE FROM mqtt.ledger AS l
        WHERE l.shard > -4 AND (
            l.shard >= 0 AND l.bucket < now() - interval '6 minutes'
            OR l.bucket < v_hour AND (l.shard <> -2 OR l.accepted = l.completed + l.dead + l.expired)
        )
        OR l.shard = -4 AND l.bucket < v_day AND l.bucket > '-infinity'
        RETURNING l.*
    ),
    rolled AS (
        INSERT INTO mqtt.ledger AS l (organization_id, bucket, shard, accepted, completed, dead, expired)
        SELECT
            o.organization_id,
            CASE WHEN o.shard = -4 THEN '-infinity' WHEN o.bucket < v_hour THEN date_trunc('hour', o.bucket) ELSE o.bucket END,
            CASE WHEN o.shard IN (-2, -4) THEN -4 WHEN o.bucket < v_hour THEN -2 ELSE -3 END,
            sum(o.accepted), sum(o.completed), sum(o.dead), sum(o.expired)
        FROM old AS o
        GROUP BY 1, 2, 3
        ON CONFLICT (organization_id, bucket, shard) DO UPDATE SET
            accepted = l.accepted + excluded.accepted, completed = l.completed + excluded.completed,
            dead = l.dead + excluded.dead, expired = l.expired + excluded.expired
    )
    SELECT count(*) INTO v_rows FROM old;
    RETURN v_rows;
END;
$$;
COMMENT ON FUNCTION mqtt.roll_up_ledger(interval) IS
'Adds up the shards of minutes that are over, minutes older than that to hours, and hours older than any term of retention to one row for each organization; marks hours whose messages are all settled. Returns the rows that went.';
COMMIT;

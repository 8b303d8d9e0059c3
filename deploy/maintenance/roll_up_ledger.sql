-- Deploy topicbase:maintenance/roll_up_ledger to pg
-- requires: tables/ledger
-- requires: tenants/longest_retention
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.roll_up_ledger(older_than interval DEFAULT '2 hours') RETURNS bigint
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
        WHERE l.shard > mqtt.ledger_level_settled() AND (
            l.shard >= 0 AND l.bucket < now() - interval '6 minutes'
            OR l.bucket < v_hour AND (l.shard <> mqtt.ledger_level_hour() OR l.accepted = l.completed + l.dead + l.expired)
        )
        OR l.shard = mqtt.ledger_level_settled() AND l.bucket < v_day AND l.bucket > '-infinity'
        RETURNING l.*
    ),
    rolled AS (
        INSERT INTO mqtt.ledger AS l (organization_id, bucket, shard, accepted, completed, dead, expired, deleted)
        SELECT
            o.organization_id,
            CASE WHEN o.shard = mqtt.ledger_level_settled() THEN '-infinity' WHEN o.bucket < v_hour THEN date_trunc('hour', o.bucket) ELSE o.bucket END,
            CASE
                WHEN o.shard IN (mqtt.ledger_level_hour(), mqtt.ledger_level_settled()) THEN mqtt.ledger_level_settled()
                WHEN o.bucket < v_hour THEN mqtt.ledger_level_hour()
                ELSE mqtt.ledger_level_minute()
            END,
            sum(o.accepted), sum(o.completed), sum(o.dead), sum(o.expired), sum(o.deleted)
        FROM old AS o
        GROUP BY 1, 2, 3
        ON CONFLICT (organization_id, bucket, shard) DO UPDATE SET
            accepted = l.accepted + excluded.accepted, completed = l.completed + excluded.completed,
            dead = l.dead + excluded.dead, expired = l.expired + excluded.expired, deleted = l.deleted + excluded.deleted
    )
    SELECT count(*) INTO v_rows FROM old;
    RETURN v_rows;
END;
$$;
COMMENT ON FUNCTION mqtt.roll_up_ledger(interval) IS
'Sums up the ledger: the shards of each past minute into one row, older minutes into hours, and hours older than any retention into one row per organization; marks hours whose messages are all settled. Returns the number of rows removed.';
COMMIT;

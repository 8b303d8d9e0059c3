-- Deploy topicbase:maintenance/trim_small_tables to pg
-- requires: maintenance/failures
-- requires: maintenance/trim_rows
-- requires: tables/ended_logins
-- requires: tables/ingest_keys
-- requires: tables/mqtt_callbacks
-- requires: tables/mqtt_requests
-- requires: tables/pack_rows
-- requires: tables/retained_messages
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.trim_small_table(target text, most integer) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_rows bigint;
BEGIN
    -- By row address, which needs no join.
    CASE target
        WHEN 'mqtt.ingest_keys' THEN
            DELETE FROM mqtt.ingest_keys AS k
            WHERE k.ctid = ANY (ARRAY(
                SELECT x.ctid FROM mqtt.ingest_keys AS x WHERE x.received_at < now() - (SELECT c.idempotency_window FROM mqtt.configuration AS c) LIMIT most
            ));
        WHEN 'mqtt.mqtt_requests' THEN
            DELETE FROM mqtt.mqtt_requests AS r
            WHERE r.ctid = ANY (ARRAY(SELECT x.ctid FROM mqtt.mqtt_requests AS x WHERE x.created_at < now() - interval '1 day' LIMIT most));
        WHEN 'mqtt.retained_messages' THEN
            DELETE FROM mqtt.retained_messages AS r
            WHERE r.ctid = ANY (ARRAY(
                SELECT x.ctid FROM mqtt.retained_messages AS x WHERE x.seen_at < now() - make_interval(days => mqtt.longest_term('completed_days')) LIMIT most
            ));
        WHEN 'mqtt.ended_logins' THEN
            DELETE FROM mqtt.ended_logins AS e WHERE e.ended_at < now() - interval '7 days';
        WHEN 'mqtt.mqtt_callback_deliveries' THEN
            DELETE FROM mqtt.mqtt_callback_deliveries AS d
            WHERE d.ctid = ANY (ARRAY(
                SELECT x.address
                FROM mqtt.organizations AS o
                CROSS JOIN (SELECT c.receipt_days, mqtt.longest_term('completed_days') AS completed_days FROM mqtt.configuration AS c) AS t
                CROSS JOIN LATERAL (
                    SELECT y.ctid AS address
                    FROM mqtt.mqtt_callback_deliveries AS y
                    -- A delivery that still waits after the longest term of the history has nothing left to post.
                    WHERE y.organization_id = o.id AND y.created_at < now() - make_interval(days => t.receipt_days)
                        AND (y.status <> 'waiting' OR y.created_at < now() - make_interval(days => t.completed_days))
                    LIMIT most
                ) AS x
                LIMIT most
            ));
    END CASE;
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    RETURN v_rows;
END;
$$;
COMMENT ON FUNCTION mqtt.trim_small_table(text, integer) IS
'Deletes from one of these tables, at most this many rows: message ids past their window, requests older than a day, callback deliveries past their term, what brokers have retained and not sent for the longest term of the history, and logins that ended a week ago. Returns how many.';

CREATE OR REPLACE FUNCTION mqtt.trim_packs_of(organization integer, most integer) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_messages bigint;
BEGIN
    WITH gone AS (
        -- An archive (packaging/citus) sees to its own.
        DELETE FROM ONLY mqtt.packs AS p
        WHERE p.ctid = ANY (ARRAY(
            SELECT y.ctid
            FROM mqtt.organizations AS o
            CROSS JOIN mqtt.configuration AS c
            JOIN ONLY mqtt.packs AS y ON y.organization = o.number
            WHERE o.number = trim_packs_of.organization AND y.last_received_at < now() - make_interval(days => coalesce(o.completed_days, c.completed_days))
                AND y.run <> ALL (ARRAY(SELECT u.run FROM mqtt.unread_runs AS u))
            LIMIT most
        ))
        RETURNING p.message_count
    )
    SELECT coalesce(sum(g.message_count), 0) INTO v_messages FROM gone AS g;
    RETURN v_messages;
END;
$$;
COMMENT ON FUNCTION mqtt.trim_packs_of(integer, integer) IS
'Deletes packs all of whose messages are past the term of their organization (its number), at most this many packs; returns how many messages those had.';

CREATE OR REPLACE FUNCTION mqtt.try_retention(target regclass, owner_key text, most integer) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_subject CONSTANT text := mqtt.retention_subject(target, owner_key);
    v_removed bigint;
BEGIN
    IF mqtt.must_wait('retention', v_subject) THEN
        RETURN 0;
    END IF;
    v_removed := CASE target WHEN 'mqtt.packs'::regclass THEN mqtt.trim_packs_of(owner_key::integer, most) ELSE mqtt.trim_small_table(target::text, most) END;
    PERFORM mqtt.note_success('retention', v_subject);
    RETURN v_removed;
EXCEPTION
    -- OTHERS does not include the time limit.
    WHEN query_canceled OR OTHERS THEN
        PERFORM mqtt.note_failure('retention', v_subject, SQLSTATE, SQLERRM);
        RETURN 0;
END;
$$;
COMMENT ON FUNCTION mqtt.try_retention(regclass, text, integer) IS
'mqtt.trim_packs_of or mqtt.trim_small_table in a subtransaction; 0 if it failed, which is noted, or has to wait (mqtt.must_wait).';

CREATE OR REPLACE FUNCTION mqtt.trim_packs(most integer) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_next record;
    v_messages bigint := 0;
BEGIN
    FOR v_next IN
        SELECT o.number, greatest(100, most / count(*) OVER ())::integer AS share
        FROM mqtt.organizations AS o
        CROSS JOIN mqtt.configuration AS c
        WHERE EXISTS (
            SELECT
            FROM ONLY mqtt.packs AS y
            WHERE y.organization = o.number AND y.last_received_at < now() - make_interval(days => coalesce(o.completed_days, c.completed_days))
                AND y.run <> ALL (ARRAY(SELECT u.run FROM mqtt.unread_runs AS u))
        )
        ORDER BY random()
        LIMIT 500
    LOOP
        v_messages := v_messages + mqtt.try_retention('mqtt.packs', v_next.number::text, v_next.share);
    END LOOP;
    DELETE FROM mqtt.packed_days AS d
    WHERE d.state = 'dropped' AND d.day < (now() AT TIME ZONE 'UTC')::date - mqtt.longest_term('completed_days')
        AND NOT EXISTS (SELECT FROM ONLY mqtt.packs AS p WHERE p.run = d.run);
    RETURN v_messages;
END;
$$;
COMMENT ON FUNCTION mqtt.trim_packs(integer) IS
'Deletes packs all of whose messages are past the term of their organization, about this many packs; returns how many messages those had.';
COMMIT;

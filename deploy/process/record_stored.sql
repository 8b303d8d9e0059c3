-- Deploy topicbase:process/record_stored to pg
-- requires: ingest/quotas
-- requires: process/batch_types
-- requires: tables/deferred_updates
-- requires: tables/integration_activity_log
-- requires: tables/ledger
-- requires: tables/mqtt_credentials
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.work_ms() RETURNS numeric
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_since CONSTANT timestamptz := coalesce(nullif(current_setting('topicbase.work_counted_until', true), '')::timestamptz, now());
    v_now CONSTANT timestamptz := clock_timestamp();
BEGIN
    PERFORM set_config('topicbase.work_counted_until', v_now::text, true);
    RETURN greatest(extract(EPOCH FROM v_now - v_since), 0) * 1000;
END;
$$;
COMMENT ON FUNCTION mqtt.work_ms() IS
'Milliseconds since the transaction began, or since it was last asked in it: a batch has a transaction of its own, and of one that is split each part asks.';

CREATE OR REPLACE FUNCTION mqtt.message_overhead() RETURNS integer
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT 500;
END;
COMMENT ON FUNCTION mqtt.message_overhead() IS 'How much work a message is beside its payload, in bytes of one.';

CREATE OR REPLACE FUNCTION mqtt.message_weight(payload jsonb, body bytea) RETURNS bigint
LANGUAGE sql STABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    -- STABLE as pg_column_size is: else it is a call, and no part of the statement that asks.
    SELECT mqtt.message_overhead() + coalesce(pg_column_size(payload), 0) + coalesce(octet_length(body), 0);
END;
COMMENT ON FUNCTION mqtt.message_weight(jsonb, bytea) IS 'About how much work a message is beside the others of its batch, in bytes. A part of the statement that asks.';

CREATE OR REPLACE FUNCTION mqtt.spend_batch(batch mqtt.stored_batch, ms numeric) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
-- Further settings are those of mqtt.record_stored, which calls it.
AS $$
BEGIN
    PERFORM mqtt.spend_time(s.organization_id, s.rate, s.ms::double precision / 1000)
    FROM (
        SELECT b.organization_id, o.max_processing_seconds AS rate, sum(b.weight) * spend_batch.ms AS ms
        FROM unnest(batch.organizations, batch.weights) AS b (organization_id, weight)
        JOIN mqtt.organizations AS o ON o.id = b.organization_id
        WHERE o.max_processing_seconds IS NOT NULL
        GROUP BY b.organization_id, o.max_processing_seconds
        ORDER BY b.organization_id
    ) AS s;
END;
$$;
COMMENT ON FUNCTION mqtt.spend_batch(mqtt.stored_batch, numeric) IS
'Counts a batch, which took so many milliseconds for each unit of weight, against what its organizations may take of the workers'' time.';

CREATE OR REPLACE FUNCTION mqtt.record_stored(batch mqtt.stored_batch, is_deferred boolean) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- As in mqtt.store_messages: rows by key, however the tables stood when the plan was made.
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_ms CONSTANT numeric := mqtt.work_ms() / nullif((SELECT sum(s.weight) FROM unnest(batch.weights) AS s (weight)), 0);
BEGIN
    PERFORM mqtt.spend_batch(batch, v_ms);
    WITH stored (organization_id, integration_id, credential_id, minute, n, first_at, last_at, weight) AS MATERIALIZED (
        SELECT s.*
        FROM unnest(batch.organizations, batch.integrations, batch.credentials, batch.minutes, batch.counts, batch.first_at, batch.last_at, batch.weights) AS s
    ),
    used AS MATERIALIZED (
        SELECT
            u.*,
            -- The first use is noted in the activity log, and so at once.
            record_stored.is_deferred
            AND EXISTS (SELECT FROM mqtt.mqtt_credentials AS c WHERE c.id = ANY (ARRAY[u.credential_id]) AND c.connection_count > 0) AS is_deferred
        FROM (
            SELECT s.organization_id, s.credential_id, sum(s.n)::bigint AS uses, max(s.last_at) AS last_at
            FROM stored AS s
            WHERE s.credential_id IS NOT NULL GROUP BY s.organization_id, s.credential_id
        ) AS u
    ),
    deferred AS (
        INSERT INTO mqtt.deferred_credential_updates (organization_id, credential_id, uses, last_connected_at)
        SELECT u.organization_id, u.credential_id, u.uses, u.last_at FROM used AS u WHERE u.is_deferred
    ),
    updated AS (
        UPDATE mqtt.mqtt_credentials AS c
        SET connection_count = c.connection_count + u.uses, last_connected_at = greatest(c.last_connected_at, u.last_at)
        FROM used AS u
        WHERE c.id = ANY (ARRAY[u.credential_id]) AND NOT u.is_deferred -- as an array, so that no join reads all credentials
        RETURNING c.organization_id, c.integration_id, c.id, c.username, c.connection_count = u.uses AS is_first
    ),
    counted AS (
        INSERT INTO mqtt.ledger AS l (organization_id, bucket, shard, completed)
        SELECT s.organization_id, s.minute, mqtt.ledger_level_outcomes(), sum(s.n)
        FROM stored AS s
        GROUP BY s.organization_id, s.minute
        ORDER BY s.organization_id, s.minute
        ON CONFLICT (organization_id, bucket, shard) DO UPDATE SET completed = l.completed + excluded.completed
    )
    INSERT INTO mqtt.integration_activity_log (organization_id, integration_id, direction, message_count, activity_type, status, details)
    SELECT s.organization_id, s.integration_id, 'incoming'::mqtt.message_direction, sum(s.n), 'messages_processed', 'success',
        jsonb_build_object('seconds', round(greatest(extract(EPOCH FROM clock_timestamp() - min(s.first_at)), 0), 3), 'processing_ms', round(v_ms * sum(s.weight), 2), 'bytes', sum(s.weight) - mqtt.message_overhead() * sum(s.n))
    FROM stored AS s
    GROUP BY s.organization_id, s.integration_id
    UNION ALL
    SELECT
        u.organization_id, u.integration_id, NULL, 0, 'credential_first_used', 'success',
        jsonb_build_object('credential_id', u.id, 'username', u.username, 'via', 'http')
    FROM updated AS u
    WHERE u.is_first;
    RETURN (SELECT coalesce(sum(s.n), 0) FROM unnest(batch.counts) AS s (n));
END;
$$;
COMMENT ON FUNCTION mqtt.record_stored(mqtt.stored_batch, boolean) IS
'What else there is to do for messages that mqtt.store_messages has settled, counted by organization, integration, credential (HTTP only) and minute of acceptance: ledger, activity log (details: the longest that one of them waited, the bytes of their payloads, and the batch''s time shared out by weight), statistics of credentials (at once or deferred, see mqtt.apply_due_updates). Returns how many there were.';
COMMIT;

-- Deploy topicbase:process/record_stored to pg
-- requires: process/batch_types
-- requires: tables/deferred_updates
-- requires: tables/integration_activity_log
-- requires: tables/ledger
-- requires: tables/mqtt_credentials
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.record_stored(batch mqtt.stored_batch, is_deferred boolean) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- As in mqtt.store_messages: rows by key, however the tables stood when the plan was made.
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET jit = off
AS $$
BEGIN
    WITH stored (organization_id, integration_id, credential_id, minute, n, first_at, last_at) AS MATERIALIZED (
        SELECT s.*
        FROM unnest(batch.organizations, batch.integrations, batch.credentials, batch.minutes, batch.counts, batch.first_at, batch.last_at) AS s
    ),
    used AS MATERIALIZED (
        SELECT
            u.*,
            -- The first use is noted in the activity log, and so at once.
            record_stored.is_deferred
            AND EXISTS (SELECT FROM mqtt.mqtt_credentials AS c WHERE c.id = u.credential_id AND c.connection_count > 0) AS is_deferred
        FROM (
            SELECT s.organization_id, s.credential_id, sum(s.n)::bigint AS uses, max(s.last_at) AS last_at
            FROM stored AS s
            WHERE s.credential_id IS NOT NULL
            GROUP BY s.organization_id, s.credential_id
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
        WHERE c.id = u.credential_id AND NOT u.is_deferred
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
        jsonb_build_object('seconds', round(greatest(extract(EPOCH FROM clock_timestamp() - min(s.first_at)), 0), 3))
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
'What else there is to do for messages that mqtt.store_messages has settled, counted by organization, integration, credential (HTTP only) and minute of acceptance: ledger, activity log (details: the longest that one of them waited), statistics of credentials (at once or deferred, see mqtt.apply_due_updates). Returns how many there were.';
COMMIT;

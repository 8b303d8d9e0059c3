-- Deploy topicbase:maintenance/note_silence to pg
-- requires: tables/devices
-- requires: tables/queues
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.note_silence(most integer DEFAULT 10000) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_changed integer;
BEGIN
    WITH term AS MATERIALIZED (
        SELECT i.organization_id, i.id, make_interval(secs => (i.settings ->> 'offline_after')::integer) AS silence
        FROM mqtt.device_integrations AS i
        -- What does not come because the broker is away is not the device's silence; what still waits to be processed is not silence at all.
        WHERE i.settings ? 'offline_after' AND i.status = 'active' AND NOT EXISTS (
            SELECT FROM pgmq.q_mqtt_messages AS q WHERE q.organization_id = i.organization_id AND q.enqueued_at < now() - interval '1 minute'
        )
    ),
    -- In the workers' order; whom they are just writing is looked at a minute later.
    device AS MATERIALIZED (
        SELECT d.organization_id, d.id, t.silence, d.last_seen_at + t.silence < now() - interval '1 minute' AS is_silent
        FROM term AS t
        JOIN mqtt.devices AS d ON d.organization_id = t.organization_id AND d.integration_id = t.id
        WHERE d.last_seen_at IS NOT NULL AND d.presence -> 'state' IN ('"online"', '"unknown"')
            AND (d.last_seen_at + t.silence < now() - interval '1 minute' OR d.presence -> 'state' = '"unknown"')
        ORDER BY d.organization_id, d.integration_id, d.external_id
        LIMIT most
        FOR NO KEY UPDATE OF d SKIP LOCKED
    )
    UPDATE mqtt.devices AS d
    SET presence = CASE
        WHEN s.is_silent THEN jsonb_build_object('state', 'offline', 'since', d.last_seen_at + s.silence, 'by', 'silence')
        ELSE jsonb_build_object('state', 'online', 'since', d.last_seen_at)
    END
    FROM device AS s
    WHERE d.organization_id = s.organization_id AND d.id = s.id;
    GET DIAGNOSTICS v_changed = ROW_COUNT;
    RETURN v_changed;
END;
$$;
COMMENT ON FUNCTION mqtt.note_silence(integer) IS
'Of integrations with the setting offline_after: devices that have sent nothing for so long are offline, since that term has passed; those of which nothing was known are online. At most so many in a call; returns how many. The worker brings them back (mqtt.presence_once_seen).';
COMMIT;

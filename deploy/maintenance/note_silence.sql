-- Deploy topicbase:maintenance/note_silence to pg
-- requires: tables/devices
-- requires: tables/payload_rules
-- requires: tables/queues
-- requires: tables/topics
-- requires: topics/patterns
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.silence_of_rules(organization_id uuid, device_id uuid) RETURNS TABLE (seconds integer)
LANGUAGE sql STABLE SECURITY INVOKER ROWS 1
BEGIN ATOMIC
    SELECT min(r.offline_after)
    FROM mqtt.topics AS t
    INNER JOIN mqtt.payload_rules AS r ON r.integration_id = t.integration_id
    WHERE t.organization_id = silence_of_rules.organization_id AND t.device_id = silence_of_rules.device_id AND r.offline_after IS NOT NULL
        AND mqtt.matched_levels(t.topic, r.topic_like, r.topic_levels) IS NOT NULL;
END;
COMMENT ON FUNCTION mqtt.silence_of_rules(uuid, uuid) IS
'The shortest term of the payload rules that a device''s topics match; null where none of these has one. A part of the statement that asks.';

CREATE OR REPLACE FUNCTION mqtt.note_silence(most integer DEFAULT 10000) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_changed integer;
BEGIN
    WITH term AS MATERIALIZED (
        SELECT i.organization_id, i.id, (i.settings ->> 'offline_after')::integer AS seconds, r.seconds AS of_rules
        FROM mqtt.device_integrations AS i
        CROSS JOIN LATERAL (SELECT min(x.offline_after) AS seconds FROM mqtt.payload_rules AS x WHERE x.integration_id = i.id AND x.offline_after IS NOT NULL) AS r
        -- What does not come because the broker is away is not the device's silence; what still waits to be processed is not silence at all.
        WHERE (i.settings ? 'offline_after' OR r.seconds IS NOT NULL) AND i.status = 'active' AND NOT EXISTS (
            SELECT FROM pgmq.q_mqtt_messages AS q WHERE q.organization_id = i.organization_id AND q.enqueued_at < now() - interval '1 minute'
        )
    ),
    -- In the workers' order; whom they are just writing is looked at a minute later.
    device AS MATERIALIZED (
        SELECT d.organization_id, d.id, s.silence, d.last_seen_at + s.silence < now() - interval '1 minute' AS is_silent
        FROM term AS t
        JOIN mqtt.devices AS d ON d.organization_id = t.organization_id AND d.integration_id = t.id
        CROSS JOIN LATERAL (
            SELECT make_interval(secs => coalesce(
                CASE WHEN t.of_rules IS NOT NULL THEN (SELECT r.seconds FROM mqtt.silence_of_rules(d.organization_id, d.id) AS r) END, t.seconds
            )) AS silence
            -- Most have been heard within the shortest term.
            WHERE d.last_seen_at + make_interval(secs => least(t.seconds, t.of_rules)) < now() - interval '1 minute' OR d.presence -> 'state' = '"unknown"'
            OFFSET 0
        ) AS s
        WHERE d.last_seen_at IS NOT NULL AND d.presence -> 'state' IN ('"online"', '"unknown"')
            AND (d.last_seen_at + s.silence < now() - interval '1 minute' OR d.presence -> 'state' = '"unknown"' AND s.silence IS NOT NULL)
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
'Of integrations with the setting offline_after, or with payload rules that have one of their own: devices that have sent nothing for so long are offline, since that term has passed; those of which nothing was known are online. At most so many in a call; returns how many. The worker brings them back (mqtt.presence_once_seen).';
COMMIT;

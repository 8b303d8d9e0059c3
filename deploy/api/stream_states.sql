-- Deploy topicbase:api/stream_states to pg
-- requires: api/get_mqtt_queue_stats
-- requires: api/get_system_status
-- requires: tables/devices
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.stream_presence(organizations integer [], seen text [])
RETURNS TABLE (organization integer, id uuid, integration_id uuid, body text, row_count bigint, snapshot text)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH wanted AS MATERIALIZED (
        SELECT o.id, o.number, w.seen::xid8::xid AS seen
        FROM unnest(organizations, stream_presence.seen) AS w (number, seen)
        JOIN mqtt.organizations AS o ON o.number = w.number
    )
    SELECT
        w.number, d.id, d.integration_id,
        json_build_object(
            'id', d.id, 'organization_id', d.organization_id, 'integration_id', d.integration_id, 'external_id', d.external_id,
            'state', d.presence -> 'state', 'since', d.presence -> 'since', 'by', d.presence -> 'by'
        )::text,
        NULL::bigint, NULL::text
    FROM wanted AS w
    JOIN mqtt.devices AS d ON d.organization_id = w.id
    -- Of rows written since, whatever was changed in them.
    WHERE w.seen IS NULL OR age(d.xmin) <= age(w.seen)
    UNION ALL
    SELECT
        w.number, NULL, NULL, NULL, (SELECT count(*) FROM mqtt.devices AS d WHERE d.organization_id = w.id),
        pg_snapshot_xmin(pg_current_snapshot())::text
    FROM wanted AS w;
END;
$$;
COMMENT ON FUNCTION mqtt.stream_presence(integer [], text []) IS
'Devices of these organizations, as the stream presence shows them: those whose rows were written since a snapshot, or all where that is null. And for each organization a row without id: how many devices there are, and the snapshot to ask with next.';

CREATE OR REPLACE FUNCTION mqtt.stream_integrations(organizations integer [], seen text [])
RETURNS TABLE (organization integer, id uuid, integration_id uuid, body text, row_count bigint, snapshot text)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH wanted AS MATERIALIZED (
        SELECT o.id, o.number, w.seen::xid8::xid AS seen
        FROM unnest(organizations, stream_integrations.seen) AS w (number, seen)
        JOIN mqtt.organizations AS o ON o.number = w.number
    )
    SELECT
        w.number, i.id, i.id,
        json_build_object(
            'id', i.id, 'organization_id', i.organization_id, 'name', i.name, 'integration_type', i.integration_type,
            'settings', mqtt.visible_settings(i.settings), 'has_password', i.settings ? 'password', 'status', i.status,
            'status_detail', i.status_detail, 'status_changed_at', i.status_changed_at, 'created_at', i.created_at, 'updated_at', i.updated_at
        )::text,
        NULL::bigint, NULL::text
    FROM wanted AS w
    JOIN mqtt.device_integrations AS i ON i.organization_id = w.id
    WHERE w.seen IS NULL OR age(i.xmin) <= age(w.seen)
    UNION ALL
    SELECT
        w.number, NULL, NULL, NULL, (SELECT count(*) FROM mqtt.device_integrations AS i WHERE i.organization_id = w.id),
        pg_snapshot_xmin(pg_current_snapshot())::text
    FROM wanted AS w;
END;
$$;
COMMENT ON FUNCTION mqtt.stream_integrations(integer [], text []) IS
'Integrations of these organizations, as api.device_integrations shows them; otherwise like mqtt.stream_presence.';

CREATE OR REPLACE FUNCTION mqtt.stream_statistics(organizations integer []) RETURNS TABLE (organization integer, body text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT o.number, (mqtt.queue_statistics(o.id) || jsonb_build_object('at', clock_timestamp()))::text
    FROM mqtt.organizations AS o
    WHERE o.number = ANY (organizations);
    IF 0 = ANY (organizations) THEN
        RETURN QUERY SELECT 0, (mqtt.system_status() || '{"organization_id": null}')::text;
    END IF;
END;
$$;
COMMENT ON FUNCTION mqtt.stream_statistics(integer []) IS
'The statistics of these organizations, as api.get_mqtt_queue_stats has them, with the time, and of the installation (0), as api.get_system_status has them.';
GRANT EXECUTE ON FUNCTION mqtt.stream_presence(integer [], text []), mqtt.stream_integrations(integer [], text []),
mqtt.stream_statistics(integer []) TO topicbase_stream;
COMMIT;

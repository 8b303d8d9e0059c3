-- Deploy topicbase:api/open_stream to pg
-- requires: api/stream_access
-- requires: tables/devices
-- requires: tables/settled_messages
-- requires: tables/stream_cursors
-- requires: tables/stream_viewers
-- requires: topics/filters
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.stream_device(organizations integer [], integrations uuid [], device_id text) RETURNS uuid
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_ids CONSTANT uuid [] := ARRAY(
        SELECT d.id
        FROM mqtt.organizations AS o
        JOIN mqtt.devices AS d ON d.organization_id = o.id
        WHERE o.number = ANY (organizations) AND (d.integration_id = ANY (integrations)) IS NOT FALSE AND (d.external_id = stream_device.device_id OR d.id::text = lower(stream_device.device_id))
        LIMIT 2
    );
BEGIN
    IF v_ids = '{}' THEN
        RAISE EXCEPTION 'device_not_found' USING
            ERRCODE = 'PT404', DETAIL = 'There is no such device that you may see.', HINT = 'GET /rpc/list_devices lists yours.';
    ELSIF cardinality(v_ids) > 1 THEN
        RAISE EXCEPTION 'device_ambiguous' USING
            ERRCODE = 'PT409', DETAIL = 'Several devices have this external id.', HINT = 'Send the device''s id.';
    END IF;
    RETURN v_ids[1];
END;
$$;
COMMENT ON FUNCTION mqtt.stream_device(integer [], uuid [], text) IS
'A device of these organizations, and if they are not null, integrations, by its id or external id. Errors: PT404 `device_not_found`; PT409 `device_ambiguous`.';

CREATE OR REPLACE FUNCTION mqtt.open_stream(
    claims jsonb, organization_id uuid, topic text, device_id text, cursors text [], process_id uuid
) RETURNS TABLE (
    organization integer, incoming bigint, outgoing bigint, incoming_place integer, outgoing_place integer, cursor text, is_resumed boolean,
    is_gap boolean, topic_filter text, device uuid, integrations uuid [], free_connections integer
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- Thousands may connect at once, and planning takes longer than the rest.
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    v_numbers CONSTANT integer [] := mqtt.stream_organizations(claims, open_stream.organization_id);
    v_device uuid;
BEGIN
    IF EXISTS (SELECT FROM unnest(cursors) AS x (cursor) CROSS JOIN LATERAL mqtt.read_stream_cursor(x.cursor) AS c WHERE c.incoming_place < 0) THEN
        RAISE EXCEPTION 'cursor_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'The cursor is that of a receipt.', HINT = 'Omit it to begin with what comes next.';
    ELSIF open_stream.topic IS NOT NULL AND mqtt.topic_filter_reason(open_stream.topic) IS NOT NULL THEN
        RAISE EXCEPTION 'topic_invalid' USING
            ERRCODE = 'PT400', DETAIL = mqtt.topic_filter_reason(open_stream.topic), HINT = 'A filter is a topic with the wildcards + and #.';
    END IF;
    IF open_stream.device_id IS NOT NULL THEN
        v_device := mqtt.stream_device(v_numbers, mqtt.claimed_integrations(claims), open_stream.device_id);
    END IF;
    RETURN QUERY
    WITH given AS MATERIALIZED (
        SELECT c.* FROM unnest(cursors) AS x (cursor) CROSS JOIN LATERAL mqtt.read_stream_cursor(x.cursor) AS c
    )
    SELECT
        p.organization, p.incoming, p.outgoing, p.incoming_place, p.outgoing_place,
        mqtt.stream_cursor(p.organization, p.incoming, p.outgoing, p.incoming_place, p.outgoing_place, p.settled_at), p.is_resumed,
        p.settled_at < now() - make_interval(days => c.settled_days), open_stream.topic, v_device,
        mqtt.claimed_integrations(claims), mqtt.free_connections(process_id, p.organization)
    FROM (
        SELECT g.organization, g.incoming, g.outgoing, g.incoming_place, g.outgoing_place, g.settled_at, true AS is_resumed
        FROM given AS g
        WHERE g.organization = ANY (v_numbers)
        UNION ALL
        SELECT h.organization, h.incoming, h.outgoing, h.incoming_place, h.outgoing_place, now(), false
        FROM mqtt.stream_head(v_numbers) AS h
        WHERE h.organization NOT IN (SELECT g.organization FROM given AS g)
    ) AS p
    CROSS JOIN mqtt.configuration AS c;
END;
$$;
COMMENT ON FUNCTION mqtt.open_stream(jsonb, uuid, text, text, text [], uuid) IS
'What a subscription of the live stream may see, and where it begins in each organization: after its cursors, or with what comes next. is_gap: what came after the cursor may be gone. Errors: PT400 `organization_required`, `topic_invalid`, `cursor_invalid`; PT403 `role_not_allowed`; PT404 `organization_not_found`, `device_not_found`; PT409 `device_ambiguous`.';

CREATE OR REPLACE FUNCTION mqtt.watch_stream(process_id uuid, organizations integer []) RETURNS SETOF mqtt.stream_position
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- A process that does not hold the lock on its id has ended.
    DELETE FROM mqtt.stream_viewers AS v
    WHERE v.process_id <> watch_stream.process_id AND pg_try_advisory_xact_lock(mqtt.bridge_lock(v.process_id))
        OR v.process_id = watch_stream.process_id AND v.organization <> ALL (organizations);
    INSERT INTO mqtt.stream_viewers (organization, process_id)
    SELECT o.number, watch_stream.process_id FROM unnest(organizations) AS o (number)
    ON CONFLICT ON CONSTRAINT stream_viewers_pkey DO NOTHING;
    RETURN QUERY SELECT h.* FROM mqtt.stream_head(organizations) AS h;
END;
$$;
COMMENT ON FUNCTION mqtt.watch_stream(uuid, integer []) IS
'A process of the stream, which holds the advisory lock mqtt.bridge_lock(process_id), has viewers of these organizations and no others. Returns the end of each.';

CREATE OR REPLACE FUNCTION mqtt.begin_stream(process_id uuid) RETURNS boolean
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pg_try_advisory_lock(mqtt.bridge_lock(process_id));
$$;
COMMENT ON FUNCTION mqtt.begin_stream(uuid) IS 'Takes the lock by which others see that the process lives, for as long as the session.';
GRANT EXECUTE ON FUNCTION mqtt.open_stream(jsonb, uuid, text, text, text [], uuid), mqtt.watch_stream(uuid, integer []),
mqtt.begin_stream(uuid) TO topicbase_stream;
COMMIT;

-- Deploy topicbase:api/open_states to pg
-- requires: api/open_stream
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.states_organizations(claims jsonb, stream text, organization_id uuid) RETURNS integer []
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_id CONSTANT uuid := substring(claims ->> 'sub', '^[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$')::uuid;
BEGIN
    IF stream = 'statistics' AND mqtt.claimed_integrations(claims) IS NOT NULL THEN
        RAISE EXCEPTION 'key_of_integrations' USING
            ERRCODE = 'PT403', DETAIL = 'The stream is about a whole organization, and the API key is for some of its integrations.',
            HINT = 'Use a key that is not limited to integrations.';
    ELSIF stream = 'statistics' AND states_organizations.organization_id IS NULL THEN
        IF claims ->> 'role' = 'service_role' THEN
            RETURN '{0}';
        ELSIF claims ->> 'role' = 'authenticated' AND NOT claims ? 'api_key' AND EXISTS (SELECT FROM mqtt.operators AS p WHERE p.user_id = v_id) THEN
            RETURN '{0}' || CASE
                WHEN EXISTS (SELECT FROM mqtt.organization_members AS m WHERE m.user_id = v_id) THEN mqtt.stream_organizations(claims, NULL)
            END;
        END IF;
    END IF;
    RETURN mqtt.stream_organizations(claims, states_organizations.organization_id);
END;
$$;
COMMENT ON FUNCTION mqtt.states_organizations(jsonb, text, uuid) IS
'The organizations that the claims of a token or an API key open for a stream of states, by number; 0 is the installation, whose statistics operators see. Errors: PT400 `organization_required`; PT403 `role_not_allowed`, `key_of_integrations`; PT404 `organization_not_found`.';

CREATE OR REPLACE FUNCTION mqtt.open_states(
    claims jsonb, stream text, organization_id uuid, topic text, device_id text, cursors text [], process_id uuid
) RETURNS TABLE (
    organization integer, since timestamptz, is_gap boolean, topic_filter text, device uuid, integrations uuid [], free_connections integer
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- Thousands may connect at once, and planning takes longer than the rest.
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    v_numbers CONSTANT integer [] := mqtt.states_organizations(claims, stream, open_states.organization_id);
    v_integrations CONSTANT uuid [] := mqtt.claimed_integrations(claims);
    v_device uuid;
BEGIN
    IF open_states.topic IS NOT NULL AND mqtt.topic_filter_reason(open_states.topic) IS NOT NULL THEN
        RAISE EXCEPTION 'topic_invalid' USING
            ERRCODE = 'PT400', DETAIL = mqtt.topic_filter_reason(open_states.topic), HINT = 'A filter is a topic with the wildcards + and #.';
    END IF;
    IF open_states.device_id IS NOT NULL THEN
        v_device := mqtt.stream_device(v_numbers, v_integrations, open_states.device_id);
    END IF;
    RETURN QUERY
    WITH given AS MATERIALIZED (
        SELECT r.organization, r.incoming_place, to_timestamp(r.incoming / 1000000.0) AS since
        FROM unnest(cursors) AS x (cursor)
        CROSS JOIN LATERAL mqtt.read_stream_cursor(x.cursor) AS r
        WHERE stream = 'receipts'
    )
    SELECT
        n.number, g.since, coalesce(g.since < now() - make_interval(days => c.receipt_days), false), open_states.topic, v_device,
        v_integrations, mqtt.free_connections(process_id, n.number)
    FROM unnest(v_numbers) AS n (number)
    LEFT JOIN given AS g ON g.organization = n.number AND g.incoming_place = -1
    CROSS JOIN mqtt.configuration AS c;
    IF EXISTS (
        SELECT
        FROM unnest(cursors) AS x (cursor)
        CROSS JOIN LATERAL mqtt.read_stream_cursor(x.cursor) AS r
        WHERE stream = 'receipts' AND r.incoming_place <> -1
    ) THEN
        RAISE EXCEPTION 'cursor_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'The cursor is that of another stream.', HINT = 'Omit it to begin with what comes next.';
    END IF;
END;
$$;
COMMENT ON FUNCTION mqtt.open_states(jsonb, text, uuid, text, text, text [], uuid) IS
'What a subscription to presence, integrations, statistics or receipts may see. since: of receipts, where its cursor says to begin. is_gap: receipts after that may be gone. Errors: those of mqtt.states_organizations, and PT400 `topic_invalid`, `cursor_invalid`; PT404 `device_not_found`; PT409 `device_ambiguous`.';
GRANT EXECUTE ON FUNCTION mqtt.open_states(jsonb, text, uuid, text, text, text [], uuid) TO topicbase_stream;
COMMIT;

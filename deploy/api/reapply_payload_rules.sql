-- Deploy topicbase:api/reapply_payload_rules to pg
-- requires: base/message_ids
-- requires: integrations/access
-- requires: process/device_data
-- requires: process/matching_rule
-- requires: process/record_device_facts
-- requires: tables/cursors
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.messages_between(
    integration_id uuid, since timestamptz, after_position bigint, until timestamptz, most integer
) RETURNS SETOF mqtt.mqtt_messages
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT m.*
    FROM mqtt.mqtt_messages AS m
    WHERE m.integration_id = messages_between.integration_id AND m.direction = 'incoming' AND m.received_at >= since AND m.received_at < until
        AND (m.received_at, m.position) > (since, after_position)
    ORDER BY m.received_at, m.position
    LIMIT most;
END;
$$;
COMMENT ON FUNCTION mqtt.messages_between(uuid, timestamptz, bigint, timestamptz, integer) IS
'What an integration received from a place in the history on, the oldest first.';

CREATE OR REPLACE FUNCTION mqtt.reapply_rules(messages mqtt.mqtt_messages []) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_readings integer;
BEGIN
    DELETE FROM mqtt.reading_rows AS r
    USING unnest(messages) AS m
    WHERE r.integration_id = m.integration_id AND r.received_at = m.received_at AND r.message_id = m.id;
    WITH found AS MATERIALIZED (
        SELECT
            m.received_at, m.organization_id, m.integration_id, m.id, m.position, m.is_interpreted, i.sample, i.external_id, i.role, i.data,
            CASE
                WHEN i.sent_at IS NULL THEN m.measured_at
                ELSE mqtt.plausible_time(i.sent_at, m.received_at, c.max_time_behind, c.max_time_ahead)
            END AS measured_at
        FROM unnest(messages) AS m
        CROSS JOIN mqtt.configuration AS c
        LEFT JOIN LATERAL (
            SELECT x.*
            FROM mqtt.matching_rule(m.integration_id, m.topic, m.payload, m.body) AS r
            CROSS JOIN LATERAL unnest(mqtt.interpretations(r, m.topic, m.payload, m.body, NULL)) AS x
            WHERE m.payload <> 'null' OR m.body <> ''
        ) AS i ON true
    ),
    device AS (
        INSERT INTO mqtt.devices AS d (organization_id, integration_id, external_id)
        SELECT DISTINCT f.organization_id, f.integration_id, f.external_id
        FROM found AS f
        WHERE f.data IS NOT NULL
        ORDER BY f.organization_id, f.integration_id, f.external_id
        ON CONFLICT (organization_id, integration_id, external_id) DO UPDATE SET external_id = excluded.external_id
        RETURNING d.id, d.integration_id, d.external_id
    ),
    marked AS (
        UPDATE mqtt.mqtt_messages AS m
        SET is_interpreted = f.sample IS NOT NULL
        FROM found AS f
        WHERE m.organization_id = f.organization_id AND m.received_at = f.received_at AND m.id = f.id
            AND coalesce(f.sample, 1) = 1 AND m.is_interpreted <> (f.sample IS NOT NULL)
    )
    INSERT INTO mqtt.reading_rows (received_at, measured_at, position, organization_id, id, integration_id, device_id, message_id, role, payload)
    SELECT
        f.received_at, f.measured_at, p.position, f.organization_id,
        CASE f.sample WHEN 1 THEN f.id ELSE mqtt.message_id(f.received_at, p.position) END, f.integration_id, d.id, f.id, f.role, f.data
    FROM found AS f
    JOIN device AS d USING (integration_id, external_id)
    CROSS JOIN LATERAL (SELECT mqtt.sample_position(f.position, f.sample) AS position OFFSET 0) AS p
    WHERE f.data IS NOT NULL;
    GET DIAGNOSTICS v_readings = ROW_COUNT;
    RETURN v_readings;
END;
$$;
COMMENT ON FUNCTION mqtt.reapply_rules(mqtt.mqtt_messages []) IS 'Replaces the readings of stored messages by what the payload rules of today make of them; returns how many there are.';

CREATE OR REPLACE FUNCTION api.reapply_payload_rules(
    integration_id uuid, since timestamptz, until timestamptz DEFAULT NULL, "limit" integer DEFAULT 1000, cursor text DEFAULT NULL
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_integration mqtt.device_integrations := mqtt.require_integration(reapply_payload_rules.integration_id, NULL, true);
    v_cursor mqtt.message_cursor := mqtt.read_cursor(reapply_payload_rules.cursor);
    v_messages mqtt.mqtt_messages [];
    v_last mqtt.mqtt_messages;
BEGIN
    IF (reapply_payload_rules."limit" BETWEEN 1 AND 10000) IS NOT TRUE THEN
        RAISE EXCEPTION 'limit_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'limit is a whole number from 1 to 10000.', HINT = 'Send next_cursor as cursor to go on.';
    END IF;
    v_messages := ARRAY(
        SELECT m
        FROM mqtt.messages_between(
            v_integration.id, coalesce(v_cursor.received_at, reapply_payload_rules.since, '-infinity'), coalesce(mqtt.cursor_position(v_cursor), 0),
            coalesce(reapply_payload_rules.until, 'infinity'), reapply_payload_rules."limit"
        ) AS m
    );
    v_last := v_messages[cardinality(v_messages)];
    RETURN jsonb_build_object(
        'messages', cardinality(v_messages),
        'readings', mqtt.reapply_rules(v_messages),
        'next_cursor', CASE
            WHEN cardinality(v_messages) = reapply_payload_rules."limit"
                THEN mqtt.encode_cursor(v_last.received_at, v_last.received_at, v_last.organization_id, v_last.id)
        END
    );
END;
$$;
COMMENT ON FUNCTION api.reapply_payload_rules(uuid, timestamptz, timestamptz, integer, text) IS
$md$Apply the payload rules to stored messages

One batch: the messages received since then and before until (default: all), the oldest first, at most limit (1 to 10,000). Their readings are
replaced by what the rules of today make of them, and devices that are not known are registered; latest values, presence and metadata stay as they
are. Answers `{"messages", "readings", "next_cursor"}`: call it again with next_cursor as cursor until that is null.
Errors: 400 `limit_invalid`, `cursor_invalid`; 403 `admin_required`; 404 `integration_not_found`.$md$;
GRANT EXECUTE ON FUNCTION api.reapply_payload_rules(uuid, timestamptz, timestamptz, integer, text) TO authenticated, service_role;
COMMIT;

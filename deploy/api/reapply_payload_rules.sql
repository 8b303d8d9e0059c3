-- Deploy topicbase:api/reapply_payload_rules to pg
-- requires: integrations/access
-- requires: process/reapply_rules
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
    WHERE m.integration_id = messages_between.integration_id AND m.organization = (
        SELECT o.number
        FROM mqtt.organizations AS o
        JOIN mqtt.device_integrations AS i ON i.organization_id = o.id
        WHERE i.id = messages_between.integration_id
    ) AND NOT m.is_packed AND m.direction = 'incoming' AND m.received_at >= since AND m.received_at < until
        AND (m.received_at, m.position) > (since, after_position)
    ORDER BY m.received_at, m.position
    LIMIT most;
END;
$$;
COMMENT ON FUNCTION mqtt.messages_between(uuid, timestamptz, bigint, timestamptz, integer) IS
'What an integration received from a place in the history on, the oldest first; without packed days.';

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
    -- One at a time, or two would each insert the readings of the same messages.
    PERFORM pg_advisory_xact_lock(mqtt.rules_lock(), hashtext(v_integration.id::text));
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
        'packed_days', ARRAY(
            SELECT d.day
            FROM mqtt.packed_days AS d
            WHERE d.state <> 'packing' AND d.day >= (coalesce(reapply_payload_rules.since, '-infinity') AT TIME ZONE 'UTC')::date
                AND d.day::timestamp AT TIME ZONE 'UTC' < coalesce(reapply_payload_rules.until, 'infinity')
            ORDER BY d.day
        ),
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
are. So do readings of Sparkplug B, and of rules that name `{login}`, which the history does not have, and those of days that are packed: packed_days
lists these (UTC). Rollups follow. Answers `{"messages", "readings", "packed_days", "next_cursor"}`: call it again with next_cursor as cursor until
that is null.
Errors: 400 `limit_invalid`, `cursor_invalid`; 403 `admin_required`, `topic_limit_reached`; 409 `day_packed`; 404
`integration_not_found`.
Answer: {"messages": "integer", "readings": "integer", "packed_days": ["text"], "next_cursor": "text?"}$md$;
GRANT EXECUTE ON FUNCTION api.reapply_payload_rules(uuid, timestamptz, timestamptz, integer, text) TO authenticated, service_role;
COMMIT;

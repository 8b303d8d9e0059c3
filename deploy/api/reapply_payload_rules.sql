-- Deploy topicbase:api/reapply_payload_rules to pg
-- requires: base/locks
-- requires: integrations/access
-- requires: process/device_data
-- requires: process/matching_rule
-- requires: process/record_device_facts
-- requires: tables/cursors
-- requires: tables/rollup_types
-- requires: tables/rollups
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
    ) AND m.direction = 'incoming' AND m.received_at >= since AND m.received_at < until
        AND (m.received_at, m.position) > (since, after_position)
    ORDER BY m.received_at, m.position
    LIMIT most;
END;
$$;
COMMENT ON FUNCTION mqtt.messages_between(uuid, timestamptz, bigint, timestamptz, integer) IS
'What an integration received from a place in the history on, the oldest first.';

CREATE OR REPLACE FUNCTION mqtt.sample_topic(message mqtt.mqtt_messages, device_id uuid, role text) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_number integer;
BEGIN
    SELECT t.number INTO v_number
    FROM mqtt.topic_number(message.organization_id, message.integration_id, message.topic, device_id, message.message_type, role) AS t;
    IF v_number IS NULL THEN
        INSERT INTO mqtt.topics (organization_id, number, integration_id, device_id, role, topic, message_type)
        VALUES (
            message.organization_id, nextval('mqtt.topic_numbers'), message.integration_id, sample_topic.device_id, sample_topic.role, message.topic,
            message.message_type
        )
        RETURNING number INTO v_number;
        INSERT INTO mqtt.topic_counts AS c (organization_id, topics) VALUES (message.organization_id, 1)
        ON CONFLICT ON CONSTRAINT topic_counts_pkey DO UPDATE SET topics = c.topics + 1;
    END IF;
    RETURN v_number;
END;
$$;
COMMENT ON FUNCTION mqtt.sample_topic(mqtt.mqtt_messages, uuid, text) IS 'The number of a message''s topic with the device and role of a sample in it; a new one where it has none.';

CREATE OR REPLACE FUNCTION mqtt.outdate_rollups(messages mqtt.mqtt_messages [], removed mqtt.late_reading []) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Of open time too, as that may be closed before this transaction ends.
    INSERT INTO mqtt.late_readings (organization_id, device_id, hour, first_position, first_at, last_at, positions)
    -- A number of its own, so that none of these rows is taken for one that a correction has read before.
    SELECT h.organization_id, h.device_id, h.hour, nextval('pgmq.q_mqtt_messages_msg_id_seq'), h.hour, h.hour, '{}'
    FROM (
        SELECT DISTINCT t.organization_id, t.device_id, date_trunc('hour', x.measured_at, 'UTC') AS hour
        FROM (
            SELECT r.topic, r.measured_at FROM unnest(removed) AS r
            UNION ALL
            SELECT r.topic, r.measured_at
            FROM unnest(messages) AS m
            JOIN mqtt.reading_rows AS r ON r.received_at = m.received_at AND r.organization = m.organization AND r.message_id = m.id
            UNION ALL
            -- What was a reading by itself, or has become one.
            SELECT m.topic_number, m.measured_at
            FROM unnest(messages) AS m
            JOIN mqtt.history AS h ON h.received_at = m.received_at AND h.organization = m.organization AND h.id = m.id
            WHERE m.is_interpreted <> (h.flags & 64 = 64)
        ) AS x (topic, measured_at)
        JOIN mqtt.topics AS t ON t.number = x.topic
        WHERE t.role = 'telemetry' AND t.device_id IS NOT NULL
    ) AS h;
END;
$$;
COMMENT ON FUNCTION mqtt.outdate_rollups(mqtt.mqtt_messages [], mqtt.late_reading []) IS
'Has the rollups made again of the hours in which messages had readings (removed), and in which they have them since their rules were applied again.';

CREATE OR REPLACE FUNCTION mqtt.reapply_rules(messages mqtt.mqtt_messages []) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_found record;
    v_device uuid;
    v_removed mqtt.late_reading [];
    v_readings integer := 0;
BEGIN
    -- Nobody removes unused topics meanwhile.
    PERFORM pg_advisory_xact_lock_shared(mqtt.topics_lock(), hashtext(messages[1].organization_id::text)) WHERE cardinality(messages) > 0;
    WITH gone AS (
        DELETE FROM mqtt.reading_rows AS r
        USING unnest(messages) AS m
        WHERE r.received_at = m.received_at AND r.organization = m.organization AND r.message_id = m.id
        RETURNING r.topic, r.measured_at
    )
    SELECT array_agg(DISTINCT ROW(g.topic, date_trunc('hour', g.measured_at, 'UTC'), NULL)::mqtt.late_reading) INTO v_removed FROM gone AS g;
    FOR v_found IN
        SELECT
            m AS message, m.is_interpreted, i.sample, i.external_id, i.role, i.data,
            CASE
                WHEN i.sent_at IS NULL THEN m.measured_at
                ELSE mqtt.plausible_time(i.sent_at, m.received_at, c.max_time_behind, c.max_time_ahead)
            END AS measured_at
        FROM unnest(messages) AS m
        CROSS JOIN mqtt.configuration AS c
        LEFT JOIN LATERAL (
            SELECT x.*
            FROM mqtt.matching_rule(m.integration_id, m.topic, m.payload, m.body) AS r
            CROSS JOIN LATERAL unnest(mqtt.interpretations(r, m.topic, m.payload, m.body, NULL, received_at => m.received_at)) AS x
            WHERE m.payload <> 'null' OR m.body <> ''
        ) AS i ON true
        ORDER BY m.organization_id, m.integration_id, i.external_id, m.received_at, m.position, i.sample
    LOOP
        IF coalesce(v_found.sample, 1) = 1 AND v_found.is_interpreted <> (v_found.sample IS NOT NULL) THEN
            UPDATE mqtt.history AS h
            SET flags = h.flags # 64::smallint
            WHERE h.received_at = (v_found.message).received_at AND h.organization = (v_found.message).organization AND h.id = (v_found.message).id;
        END IF;
        CONTINUE WHEN v_found.data IS NULL;
        INSERT INTO mqtt.devices AS d (organization_id, integration_id, external_id)
        VALUES ((v_found.message).organization_id, (v_found.message).integration_id, v_found.external_id)
        ON CONFLICT (organization_id, integration_id, external_id) DO UPDATE SET external_id = excluded.external_id
        RETURNING d.id INTO v_device;
        INSERT INTO mqtt.reading_rows (received_at, measured_at, position, id, message_id, organization, topic, payload)
        VALUES (
            (v_found.message).received_at, v_found.measured_at, mqtt.sample_position((v_found.message).position, v_found.sample),
            CASE v_found.sample WHEN 1 THEN (v_found.message).id ELSE gen_random_uuid() END, (v_found.message).id, (v_found.message).organization,
            mqtt.sample_topic(v_found.message, v_device, v_found.role), v_found.data
        );
        v_readings := v_readings + 1;
    END LOOP;
    PERFORM mqtt.outdate_rollups(messages, v_removed);
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
are. Rollups follow. Answers `{"messages", "readings", "next_cursor"}`: call it again with next_cursor as cursor until that is null.
Errors: 400 `limit_invalid`, `cursor_invalid`; 403 `admin_required`; 404 `integration_not_found`.
Answer: {"messages": "integer", "readings": "integer", "next_cursor": "text?"}$md$;
GRANT EXECUTE ON FUNCTION api.reapply_payload_rules(uuid, timestamptz, timestamptz, integer, text) TO authenticated, service_role;
COMMIT;

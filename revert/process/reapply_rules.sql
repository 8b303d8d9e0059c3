-- Deploy topicbase:process/reapply_rules to pg
-- requires: base/locks
-- requires: ingest/message_rules
-- requires: process/decoded_message
-- requires: process/interpret_messages
-- requires: process/record_device_facts
-- requires: process/sparkplug
-- requires: tables/rollups
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.sample_topic(message mqtt.mqtt_messages, device_id uuid, message_type text, role text) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_number integer;
BEGIN
    SELECT t.number INTO v_number
    FROM mqtt.topic_number(
        message.organization_id, message.integration_id, message.topic, sample_topic.device_id, sample_topic.message_type, sample_topic.role
    ) AS t;
    IF v_number IS NULL THEN
        IF (SELECT c.topics FROM mqtt.topic_counts AS c WHERE c.organization_id = message.organization_id)
            >= (SELECT c.max_topics FROM mqtt.configuration AS c) THEN
            PERFORM mqtt.refuse_message('topic_limit_reached', message.topic, NULL, NULL);
        END IF;
        INSERT INTO mqtt.topics (organization_id, number, integration_id, device_id, role, topic, message_type)
        VALUES (
            message.organization_id, nextval('mqtt.topic_numbers'), message.integration_id, sample_topic.device_id, sample_topic.role, message.topic,
            sample_topic.message_type
        )
        RETURNING number INTO v_number;
        INSERT INTO mqtt.topic_counts AS c (organization_id, topics) VALUES (message.organization_id, 1)
        ON CONFLICT ON CONSTRAINT topic_counts_pkey DO UPDATE SET topics = c.topics + 1;
    END IF;
    RETURN v_number;
END;
$$;
COMMENT ON FUNCTION mqtt.sample_topic(mqtt.mqtt_messages, uuid, text, text) IS
'The number of a message''s topic with the device, message type and role of a sample in it; a new one where it has none. Raises PT403 topic_limit_reached.';

CREATE OR REPLACE FUNCTION mqtt.rule_messages(messages mqtt.mqtt_messages []) RETURNS mqtt.rule_message []
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN ARRAY(
        SELECT ROW(m.position, m.integration_id, NULL, m.topic, m.payload, m.body, m.received_at, NULL, NULL, NULL)::mqtt.rule_message
        FROM unnest(messages) AS m
        WHERE m.payload <> 'null' OR m.body <> ''
    );
END;
$$;
COMMENT ON FUNCTION mqtt.rule_messages(mqtt.mqtt_messages []) IS 'Stored messages for payload rules, but for those that are empty.';

CREATE OR REPLACE FUNCTION mqtt.with_all_they_need(messages mqtt.mqtt_messages []) RETURNS mqtt.mqtt_messages []
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_without_login bigint [] := '{}';
BEGIN
    IF EXISTS (SELECT FROM mqtt.payload_rules AS r WHERE r.needs_login AND r.integration_id IN (SELECT m.integration_id FROM unnest(messages) AS m)) THEN
        v_without_login := ARRAY(
            SELECT i.place
            FROM unnest(mqtt.interpretations(mqtt.rule_messages(messages))) AS i
            JOIN mqtt.payload_rules AS r ON r.id = i.rule_id
            WHERE r.needs_login
        );
    END IF;
    RETURN ARRAY(
        SELECT m
        FROM unnest(messages) AS m
        WHERE NOT m.is_packed AND m.position <> ALL (v_without_login) AND NOT (
            -- With or without a body: some of its bytes are text, too.
            EXISTS (SELECT FROM mqtt.sparkplug_topic(m.topic))
            AND EXISTS (SELECT FROM mqtt.payload_rules AS s WHERE s.integration_id = m.integration_id AND s.decode = 'sparkplug')
        )
    );
END;
$$;
COMMENT ON FUNCTION mqtt.with_all_they_need(mqtt.mqtt_messages []) IS
'Those of stored messages that can be interpreted again: the history knows neither the login that sent one nor what the births of its Sparkplug B node had said by then.';

CREATE OR REPLACE FUNCTION mqtt.interpreted_again(messages mqtt.mqtt_messages [])
RETURNS TABLE (
    message mqtt.mqtt_messages, sample integer, external_id text, message_type text, role text, data jsonb, decode_error text, sent_at timestamptz,
    measured_at timestamptz, is_rule_time boolean
)
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
BEGIN
    RETURN QUERY
    SELECT
        x.message, x.sample, x.external_id, x.message_type, x.role, x.data, x.decode_error, x.sent_at,
        -- What was imported (api.import_messages) was measured as long ago as it was; what it says is judged by that.
        mqtt.plausible_time(
            x.sent_at,
            CASE
                WHEN (x.message).measured_at < (x.message).received_at - c.max_time_behind AND (x.message).measured_at = (x.message).sent_at
                    THEN (x.message).measured_at
                ELSE (x.message).received_at
            END, c.max_time_behind, c.max_time_ahead
        ), x.is_rule_time
    FROM (
        SELECT
            m AS message, i.sample, CASE WHEN i.sample IS NULL THEN mqtt.device_name(l.levels[n.device_level]) ELSE i.external_id END AS external_id,
            nullif(l.levels[n.message_type_level], '') AS message_type, coalesce(i.role, mqtt.message_role(l.levels[n.message_type_level])) AS role,
            i.data, coalesce(i.reason, CASE
                WHEN coalesce(i.data, i.facts) IS NOT NULL OR i.role IN ('ignore', 'command') THEN NULL
                WHEN m.body IS NOT NULL THEN (mqtt.decode_payload(coalesce(m.content_type, n.settings ->> 'content_type'), m.body)).decode_error
                WHEN coalesce(m.content_type, n.settings ->> 'content_type') IS NULL AND jsonb_typeof(m.payload) = 'string'
                    THEN (mqtt.decode_payload(NULL, convert_to(m.payload #>> '{}', 'UTF8'))).decode_error
            END) AS decode_error,
            coalesce(i.sent_at, CASE
                WHEN h.flags & 128 = 0 THEN m.sent_at
                ELSE coalesce(mqtt.try_device_time(mqtt.user_property(m.properties, 'timestamp')), mqtt.payload_time(m.payload))
            END) AS sent_at, i.sent_at IS NOT NULL AS is_rule_time
        FROM unnest(messages) AS m
        JOIN mqtt.history AS h ON h.received_at = m.received_at AND h.organization = m.organization AND h.id = m.id
        JOIN mqtt.device_integrations AS n ON n.id = m.integration_id
        CROSS JOIN LATERAL (SELECT mqtt.matched_levels(m.topic, n.topic_like, n.topic_levels) AS levels) AS l
        LEFT JOIN unnest(mqtt.interpretations(mqtt.rule_messages(messages))) AS i ON i.place = m.position
        WHERE m.is_interpreted OR i.sample IS NOT NULL
    ) AS x
    CROSS JOIN mqtt.configuration AS c
    -- Devices in the workers' order; of a device as its messages came.
    ORDER BY (x.message).organization_id, (x.message).integration_id, x.external_id, (x.message).received_at, (x.message).position, x.sample;
END;
$$;
COMMENT ON FUNCTION mqtt.interpreted_again(mqtt.mqtt_messages []) IS
'What stored messages are by the present payload rules, a row for each sample as in mqtt.interpret_samples; of those that no rule matches now, only such as one had matched.';

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
            SELECT p.topic, p.measured_at
            FROM unnest(messages) AS m
            JOIN mqtt.history AS h ON h.received_at = m.received_at AND h.organization = m.organization AND h.id = m.id
            CROSS JOIN LATERAL (
                SELECT CASE WHEN m.is_interpreted THEN h.topic ELSE m.topic_number END AS topic,
                    CASE WHEN m.is_interpreted THEN h.measured_at ELSE m.measured_at END AS measured_at
            ) AS p
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
    v_messages CONSTANT mqtt.mqtt_messages [] := mqtt.with_all_they_need(messages);
    v_found record;
    v_external_id text;
    v_device uuid;
    v_topic integer;
    v_removed mqtt.late_reading [];
    v_readings integer := 0;
BEGIN
    -- Nobody removes unused topics meanwhile.
    PERFORM pg_advisory_xact_lock_shared(mqtt.topics_lock(), hashtext(messages[1].organization_id::text)) WHERE cardinality(messages) > 0;
    WITH gone AS (
        DELETE FROM mqtt.reading_rows AS r
        USING unnest(v_messages) AS m
        WHERE r.received_at = m.received_at AND r.organization = m.organization AND r.message_id = m.id
        RETURNING r.topic, r.measured_at
    )
    SELECT array_agg(DISTINCT ROW(g.topic, date_trunc('hour', g.measured_at, 'UTC'), NULL)::mqtt.late_reading) INTO v_removed FROM gone AS g;
    FOR v_found IN SELECT x.*, (x.message).* FROM mqtt.interpreted_again(v_messages) AS x LOOP
        IF v_found.external_id IS NULL THEN
            v_device := NULL;
        ELSIF v_found.external_id IS DISTINCT FROM v_external_id THEN
            INSERT INTO mqtt.devices AS d (organization_id, integration_id, external_id)
            VALUES (v_found.organization_id, v_found.integration_id, v_found.external_id)
            ON CONFLICT (organization_id, integration_id, external_id) DO UPDATE SET external_id = excluded.external_id
            RETURNING d.id INTO v_device;
        END IF;
        v_external_id := v_found.external_id;
        v_topic := mqtt.sample_topic(v_found.message, v_device, v_found.message_type, v_found.role);
        IF coalesce(v_found.sample, 1) = 1 THEN
            UPDATE mqtt.history AS h
            SET topic = v_topic, measured_at = v_found.measured_at, sent_at = nullif(v_found.sent_at, v_found.measured_at),
                decode_error = v_found.decode_error,
                flags = (h.flags & 287) + coalesce(v_found.sent_at = v_found.measured_at, false)::integer * 32
                    + (v_found.sample IS NOT NULL)::integer * 64 + v_found.is_rule_time::integer * 128
            WHERE h.received_at = v_found.received_at AND h.organization = v_found.organization AND h.id = v_found.id;
        END IF;
        CONTINUE WHEN v_found.data IS NULL;
        INSERT INTO mqtt.reading_rows (received_at, measured_at, position, id, message_id, organization, topic, payload)
        VALUES (
            v_found.received_at, v_found.measured_at, mqtt.sample_position(v_found.position, v_found.sample),
            CASE v_found.sample WHEN 1 THEN v_found.id ELSE gen_random_uuid() END, v_found.id, v_found.organization, v_topic, v_found.data
        );
        v_readings := v_readings + 1;
    END LOOP;
    PERFORM mqtt.outdate_rollups(v_messages, v_removed);
    RETURN v_readings;
END;
$$;
COMMENT ON FUNCTION mqtt.reapply_rules(mqtt.mqtt_messages []) IS
'Replaces the readings of stored messages, the devices and roles that they count for, and why anything is missing by what the payload rules of today make of them; returns how many readings there are. Leaves alone what mqtt.with_all_they_need leaves out.';
COMMIT;

-- Deploy topicbase:process/prepare_sparkplug to pg
-- requires: base/wake_bridge
-- requires: process/sparkplug
-- requires: tables/queues
-- requires: topics/names
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.save_sparkplug_nodes(nodes mqtt.sparkplug_nodes [], times timestamptz []) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_is_asked boolean;
BEGIN
    WITH news AS MATERIALIZED (
        SELECT n.organization_id, n.integration_id, n.node, n.is_born, n.seq, n.aliases, n.devices, x.at, k.rebirth_at,
            regexp_replace(n.node, '([^/]*)/([^/]*)$', 'spBv1.0/\1/NCMD/\2') AS topic,
            n.rebirth_at = 'infinity' AND (x.at < k.rebirth_at + interval '30 seconds') IS NOT TRUE AS is_asked
        FROM unnest(nodes) WITH ORDINALITY AS n
        JOIN unnest(times) WITH ORDINALITY AS x (at, ordinality) ON x.ordinality = n.ordinality
        LEFT JOIN mqtt.sparkplug_nodes AS k ON k.integration_id = n.integration_id AND k.node = n.node
        WHERE k.node IS NOT NULL OR n.organization_id NOT IN (
            SELECT c.organization_id
            FROM mqtt.sparkplug_nodes AS c
            WHERE c.organization_id IN (SELECT u.organization_id FROM unnest(nodes) AS u)
            GROUP BY c.organization_id
            HAVING count(*) >= 10000
        )
    ),
    asked AS (
        -- The metric "Node Control/Rebirth", a boolean, true.
        INSERT INTO pgmq.q_mqtt_outbound (vt, message, organization_id, integration_id, body)
        SELECT clock_timestamp(), jsonb_build_object('topic', n.topic, 'qos', 0, 'retain', false), n.organization_id, n.integration_id, '\x121a0a14' || convert_to('Node Control/Rebirth', 'UTF8') || '\x200b7001'
        FROM news AS n
        JOIN mqtt.device_integrations AS i ON i.organization_id = n.organization_id AND i.id = n.integration_id
        JOIN mqtt.organizations AS o ON o.id = n.organization_id
        -- A replay may have given a message another organization's topic, and at the hosted broker the bridge may publish anywhere.
        WHERE n.is_asked AND (i.integration_type <> 'mqtt_hosted' OR mqtt.topic_is_under(n.topic, o.topic_prefix))
        RETURNING 1
    ),
    saved AS (
        INSERT INTO mqtt.sparkplug_nodes AS s (organization_id, integration_id, node, is_born, seq, aliases, devices, rebirth_at)
        SELECT n.organization_id, n.integration_id, n.node, n.is_born, n.seq, n.aliases, n.devices, CASE WHEN n.is_asked THEN n.at ELSE n.rebirth_at END
        FROM news AS n
        -- In the order of the key, so that two workers cannot lock each other out.
        ORDER BY n.integration_id, n.node
        ON CONFLICT (integration_id, node) DO UPDATE SET
            is_born = excluded.is_born, seq = excluded.seq, aliases = excluded.aliases, devices = excluded.devices, rebirth_at = excluded.rebirth_at
    )
    SELECT EXISTS (SELECT FROM asked) INTO v_is_asked;
    IF v_is_asked THEN
        PERFORM mqtt.wake_bridge('outbound');
    END IF;
END;
$$;
COMMENT ON FUNCTION mqtt.save_sparkplug_nodes(mqtt.sparkplug_nodes [], timestamptz []) IS
'Takes down edge nodes; asks those for a rebirth whose rebirth_at is infinity, though not twice in 30 seconds, and at the hosted broker below the organization''s prefix alone. Of an organization that has 10,000, no others. times: when their last messages came.';

CREATE OR REPLACE FUNCTION mqtt.read_sparkplug(messages mqtt.sparkplug_message []) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_known mqtt.sparkplug_nodes [] := ARRAY(
        SELECT n
        FROM mqtt.sparkplug_nodes AS n
        WHERE (n.integration_id, n.node) IN (SELECT m.integration_id, m.node FROM unnest(messages) AS m)
        ORDER BY n.integration_id, n.node
        FOR UPDATE
    );
    v_decoded CONSTANT jsonb := mqtt.decoded_sparkplug(messages, v_known);
    v_nodes mqtt.sparkplug_nodes [];
    v_times timestamptz [];
BEGIN
    SELECT
        array_agg(mqtt.sparkplug_node(i.organization_id, n.integration_id, n.node, v_decoded -> 'states' -> n.name)),
        array_agg(n.received_at)
    INTO v_nodes, v_times
    FROM (
        SELECT DISTINCT ON (m.integration_id, m.node) m.integration_id, m.node, m.integration_id || '/' || m.node AS name, m.received_at
        FROM unnest(messages) AS m
        ORDER BY m.integration_id, m.node, m.place DESC
    ) AS n
    JOIN mqtt.device_integrations AS i ON i.id = n.integration_id
    WHERE v_decoded -> 'states' ? n.name;
    IF v_nodes IS NOT NULL THEN
        PERFORM mqtt.save_sparkplug_nodes(v_nodes, v_times);
    END IF;
    RETURN v_decoded -> 'documents';
END;
$$;
COMMENT ON FUNCTION mqtt.read_sparkplug(mqtt.sparkplug_message []) IS
'The documents of these Sparkplug B messages, in their order, null for what is none; keeps what their births and sequences say.';

CREATE OR REPLACE FUNCTION mqtt.prepare_sparkplug(messages mqtt.rule_message []) RETURNS mqtt.rule_message []
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_slice record;
    v_places bigint [] := '{}';
    v_documents jsonb := '[]';
BEGIN
    IF NOT EXISTS (
        SELECT
        FROM mqtt.payload_rules AS r
        WHERE r.decode = 'sparkplug' AND r.integration_id IN (SELECT m.integration_id FROM unnest(messages) AS m)
    ) OR to_regprocedure('mqtt.py_decode_sparkplug(text [], text [], text [], bytea [], text)') IS NULL THEN
        RETURN messages;
    END IF;
    -- Node by node, of each in the order of acceptance; no more at once than one message may have, as nothing interrupts Python.
    FOR v_slice IN
        SELECT array_agg(s.message ORDER BY s.ordinality) AS messages
        FROM (SELECT x.*, div(sum(x.bytes) OVER (ORDER BY x.ordinality), 1048576) AS slice FROM mqtt.sparkplug_messages(messages) AS x) AS s
        GROUP BY s.slice
        ORDER BY s.slice
    LOOP
        v_places := v_places || ARRAY(SELECT m.place FROM unnest(v_slice.messages) WITH ORDINALITY AS m ORDER BY m.ordinality);
        v_documents := v_documents || mqtt.read_sparkplug(v_slice.messages);
    END LOOP;
    RETURN ARRAY(
        SELECT ROW(
            m.place, m.integration_id, m.credential_id, m.topic,
            CASE WHEN d.document ? 'metadata' THEN d.document - 'metadata' ELSE coalesce(nullif(d.document, 'null'), m.payload) END,
            m.body, m.received_at, m.login, NULL,
            CASE WHEN d.document ? 'sparkplug' THEN coalesce(d.document -> 'metadata', '{}') END
        )::mqtt.rule_message
        FROM unnest(messages) AS m
        LEFT JOIN (
            SELECT p.place, e.value AS document
            FROM unnest(v_places) WITH ORDINALITY AS p (place, ordinality)
            JOIN jsonb_array_elements(v_documents) WITH ORDINALITY AS e ON e.ordinality = p.ordinality
        ) AS d ON d.place = m.place
    );
END;
$$;
COMMENT ON FUNCTION mqtt.prepare_sparkplug(mqtt.rule_message []) IS
'The same messages, those of Sparkplug B decoded, with the names that the births of their edge nodes gave, for integrations that have rules for them; keeps what their births and sequences say.';
COMMIT;

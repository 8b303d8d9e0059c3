-- Deploy topicbase:process/prepare_sparkplug to pg
-- requires: base/wake_bridge
-- requires: process/sparkplug
-- requires: tables/payload_rules
-- requires: tables/queues
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.save_sparkplug_node(news mqtt.sparkplug_nodes, topic_head text, at timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_asked_at CONSTANT timestamptz := (
        SELECT n.rebirth_at FROM mqtt.sparkplug_nodes AS n WHERE n.integration_id = news.integration_id AND n.node = news.node
    );
BEGIN
    IF news.rebirth_at = 'infinity' THEN
        IF at < v_asked_at + interval '30 seconds' THEN
            news.rebirth_at := v_asked_at;
        ELSE
            news.rebirth_at := at;
            -- The metric "Node Control/Rebirth", a boolean, true.
            INSERT INTO pgmq.q_mqtt_outbound (vt, message, organization_id, integration_id, body)
            VALUES (
                clock_timestamp(),
                jsonb_build_object('topic', topic_head || 'spBv1.0/' || replace(news.node, '/', '/NCMD/'), 'qos', 0, 'retain', false),
                news.organization_id, news.integration_id, '\x121a0a14' || convert_to('Node Control/Rebirth', 'UTF8') || '\x200b7001'
            );
            PERFORM mqtt.wake_bridge('outbound');
        END IF;
    END IF;
    INSERT INTO mqtt.sparkplug_nodes AS n
    SELECT (news).*
    ON CONFLICT (integration_id, node) DO UPDATE SET
        is_born = excluded.is_born, seq = excluded.seq, aliases = excluded.aliases, devices = excluded.devices, rebirth_at = excluded.rebirth_at;
END;
$$;
COMMENT ON FUNCTION mqtt.save_sparkplug_node(mqtt.sparkplug_nodes, text, timestamptz) IS
'Takes down an edge node; asks it for a rebirth where rebirth_at is infinity, though not twice in 30 seconds.';

CREATE OR REPLACE FUNCTION mqtt.prepare_sparkplug(tids tid []) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_message record;
    v_node mqtt.sparkplug_nodes;
    v_known mqtt.sparkplug_nodes;
    v_head text;
    v_at timestamptz;
    v_decoded jsonb;
    v_ids text [] := '{}';
    v_documents jsonb [] := '{}';
BEGIN
    -- Node by node, in the order of the key, so that two workers cannot lock each other out; of each in the order of acceptance.
    FOR v_message IN
        SELECT q.msg_id, q.organization_id, q.integration_id, q.enqueued_at, q.body, t.parts, t.parts[2] || '/' || t.parts[4] AS node,
            coalesce(t.parts[1] || '/', '') AS head
        FROM pgmq.q_mqtt_messages AS q
        CROSS JOIN LATERAL (SELECT mqtt.sparkplug_topic(q.message ->> 'topic') AS parts OFFSET 0) AS t
        WHERE q.ctid = ANY (tids) AND q.body IS NOT NULL AND t.parts IS NOT NULL
            AND EXISTS (SELECT FROM mqtt.payload_rules AS r WHERE r.integration_id = q.integration_id AND r.decode = 'sparkplug')
        ORDER BY q.integration_id, node, q.msg_id
    LOOP
        v_decoded := mqtt.try_sparkplug(v_message.body);
        CONTINUE WHEN v_decoded IS NULL;
        IF (v_message.integration_id, v_message.node) IS DISTINCT FROM (v_node.integration_id, v_node.node) THEN
            IF v_node IS DISTINCT FROM v_known THEN
                PERFORM mqtt.save_sparkplug_node(v_node, v_head, v_at);
            END IF;
            SELECT n.* INTO v_node
            FROM mqtt.sparkplug_nodes AS n
            WHERE n.integration_id = v_message.integration_id AND n.node = v_message.node
            FOR UPDATE;
            IF v_node.node IS NULL THEN
                v_node := ROW(v_message.organization_id, v_message.integration_id, v_message.node, false, NULL, '{}', '{}', NULL);
            END IF;
            v_known := v_node;
        END IF;
        v_node := mqtt.sparkplug_step(v_node, v_message.parts, v_decoded);
        v_ids := v_ids || v_message.msg_id::text;
        v_documents := v_documents || mqtt.sparkplug_document(v_message.parts, v_decoded, v_node);
        v_head := v_message.head;
        v_at := v_message.enqueued_at;
    END LOOP;
    IF v_node IS DISTINCT FROM v_known THEN
        PERFORM mqtt.save_sparkplug_node(v_node, v_head, v_at);
    END IF;
    RETURN (SELECT jsonb_object_agg(d.id, d.document) FROM unnest(v_ids, v_documents) AS d (id, document));
END;
$$;
COMMENT ON FUNCTION mqtt.prepare_sparkplug(tid []) IS
'The Sparkplug B messages among queued ones, decoded, with the names that the births of their edge nodes gave: {"<number in the queue>": document}; keeps what their births and sequences say.';
COMMIT;

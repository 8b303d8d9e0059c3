-- Deploy topicbase:publish/settle_outbound to pg
-- requires: base/locks
-- requires: tables/bridges
-- requires: tables/integration_activity_log
-- requires: tables/mqtt_dead_letters
-- requires: tables/mqtt_publish_receipts
-- requires: tables/queues
-- requires: tables/settlements
-- requires: tables/stream_viewers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
-- In PL/pgSQL, because it keeps the plan.
CREATE OR REPLACE FUNCTION mqtt.settle_outbound(
    msg_ids bigint [], states text [], reason_codes smallint [], reasons text [], bridge_id uuid DEFAULT NULL
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_counts jsonb;
BEGIN
    WITH gone AS MATERIALIZED (
        DELETE FROM pgmq.q_mqtt_outbound AS q
        USING unnest(msg_ids, states, reason_codes, reasons) AS o (msg_id, state, reason_code, reason), mqtt.message_id_key AS k
        WHERE q.msg_id = o.msg_id AND (
            settle_outbound.bridge_id IS NULL
            OR q.integration_id IN (SELECT l.integration_id FROM mqtt.bridge_leases AS l WHERE l.bridge_id = settle_outbound.bridge_id)
        )
        RETURNING
            q.organization_id, q.integration_id, q.enqueued_at, q.msg_id, q.message, q.body, coalesce(q.receipt_id, mqtt.keyed_message_id(q.enqueued_at, -q.msg_id, k.key)) AS id,
            q.attempts + (o.state IN ('sent', 'acknowledged', 'failed'))::integer AS attempts,
            coalesce((q.message ->> 'qos')::smallint, 0::smallint) AS qos, coalesce(q.message ->> 'topic', '') AS topic,
            o.state, o.reason_code, left(o.reason, 500) AS reason, o.state IN ('sent', 'acknowledged') AS is_sent
    ), receipts AS (
        INSERT INTO mqtt.mqtt_publish_receipts (queued_at, organization_id, id, integration_id, qos, attempts, reason_code, state, topic, reason)
        SELECT g.enqueued_at, g.organization_id, g.id, g.integration_id, g.qos, g.attempts, g.reason_code, g.state, g.topic, g.reason
        FROM gone AS g
    ), topic AS MATERIALIZED (
        SELECT w.*, mqtt.message_role(w.message_type) AS role, t.number
        FROM (
            SELECT DISTINCT g.organization_id, g.integration_id, g.topic,
                mqtt.message_type_of_topic(g.topic, i.topic_like, i.topic_levels, i.message_type_level) AS message_type
            FROM gone AS g
            LEFT JOIN mqtt.device_integrations AS i ON i.id = g.integration_id
            -- Nobody removes unused topics meanwhile.
            WHERE g.is_sent AND pg_advisory_xact_lock_shared(mqtt.topics_lock(), hashtext(g.organization_id::text)) IS NOT NULL
        ) AS w
        CROSS JOIN LATERAL mqtt.topic_number(
            w.organization_id, w.integration_id, w.topic, NULL, w.message_type, mqtt.message_role(w.message_type)
        ) AS t
    ), new_topic AS (
        INSERT INTO mqtt.topics (organization_id, number, integration_id, role, topic, message_type)
        SELECT t.organization_id, nextval('mqtt.topic_numbers'), t.integration_id, t.role, t.topic, t.message_type
        FROM topic AS t
        WHERE t.number IS NULL
        RETURNING organization_id, number, integration_id, topic
    ), counted AS (
        INSERT INTO mqtt.topic_counts AS c (organization_id, topics)
        SELECT n.organization_id, count(*) FROM new_topic AS n GROUP BY n.organization_id ORDER BY n.organization_id
        ON CONFLICT ON CONSTRAINT topic_counts_pkey DO UPDATE SET topics = c.topics + excluded.topics
    ), history AS (
        INSERT INTO mqtt.history (
            received_at, measured_at, position, id, organization, topic, stored_after, flags, payload, content_type, body, properties
        )
        SELECT
            g.enqueued_at, g.enqueued_at, g.msg_id, g.id, coalesce(o.number, 0), coalesce(t.number, n.number), mqtt.stored_after(g.enqueued_at, clock_timestamp()),
            mqtt.history_flags(g.qos, coalesce((g.message ->> 'retain')::boolean, false), true, false, false),
            CASE WHEN g.body IS NULL THEN coalesce(g.message -> 'payload', 'null') ELSE 'null' END, g.message ->> 'content_type', g.body,
            nullif(g.message - '{topic,payload,qos,retain,content_type}'::text [], '{}')
        FROM gone AS g
        LEFT JOIN mqtt.organizations AS o ON o.id = g.organization_id
        JOIN topic AS t ON t.integration_id = g.integration_id AND t.topic = g.topic
        LEFT JOIN new_topic AS n ON n.integration_id = g.integration_id AND n.topic = g.topic
        WHERE g.is_sent
        ORDER BY g.msg_id
    ), locked AS MATERIALIZED (
        -- In the order of the key, so that two callers cannot lock each other out.
        SELECT x.id, x.number, pg_advisory_xact_lock(mqtt.settlement_lock(), x.number)
        FROM (
            SELECT o.id, o.number
            FROM mqtt.organizations AS o
            WHERE o.id IN (SELECT g.organization_id FROM gone AS g WHERE g.is_sent)
            ORDER BY o.number
            OFFSET 0
        ) AS x
    ), settled AS (
        INSERT INTO mqtt.settlements (settled_at, number, first_at, last_at, first_position, organization, message_count, is_outgoing, low_positions)
        SELECT
            clock_timestamp(), nextval('mqtt.settlement_numbers'), s.first_at, s.last_at, s.first_position, s.organization, s.n, true,
            CASE WHEN s.last_position - s.first_position >= s.n THEN s.low_positions END
        FROM (
            SELECT
                l.number AS organization, min(g.enqueued_at) AS first_at, max(g.enqueued_at) AS last_at, min(g.msg_id) AS first_position,
                max(g.msg_id) AS last_position, count(*) AS n, array_agg((g.msg_id & 1073741823)::integer ORDER BY g.msg_id) AS low_positions
            FROM gone AS g
            JOIN locked AS l ON l.id = g.organization_id
            WHERE g.is_sent
            GROUP BY l.number, date_trunc('second', g.enqueued_at), g.msg_id >> 30
            ORDER BY l.number, date_trunc('second', g.enqueued_at), g.msg_id >> 30
        ) AS s
        RETURNING organization
    ), told AS MATERIALIZED (
        SELECT pg_notify('topicbase_stream', '')
        FROM mqtt.stream_viewers AS v
        WHERE v.organization IN (SELECT s.organization FROM settled AS s)
        LIMIT 1
    ), dead AS (
        INSERT INTO mqtt.mqtt_dead_letters (
            received_at, organization_id, id, integration_id, direction, attempts, topic, message, body, error_message, errors
        )
        SELECT
            g.enqueued_at, g.organization_id, g.id, g.integration_id, 'outgoing', g.attempts, g.topic, g.message, g.body, coalesce(g.reason, 'failed'),
            jsonb_build_array(jsonb_build_object('at', clock_timestamp(), 'code', g.reason_code, 'error', coalesce(g.reason, 'failed')))
        FROM gone AS g
        WHERE g.state = 'failed'
    ), logged AS (
        INSERT INTO mqtt.integration_activity_log (organization_id, integration_id, direction, message_count, activity_type, status, error_message)
        SELECT
            g.organization_id, g.integration_id, 'outgoing', count(*),
            CASE g.state WHEN 'failed' THEN 'publish_failed' WHEN 'expired' THEN 'publish_expired' ELSE 'messages_published' END,
            CASE WHEN g.is_sent THEN 'success' ELSE 'failed' END, CASE WHEN NOT g.is_sent THEN coalesce(g.reason, g.state) END
        FROM gone AS g
        GROUP BY g.organization_id, g.integration_id, 5, 6, 7
    )
    SELECT coalesce(jsonb_object_agg(s.state, s.n), '{}') INTO v_counts FROM (SELECT g.state, count(*) AS n FROM gone AS g GROUP BY g.state) AS s WHERE (SELECT count(*) FROM told) >= 0;
    RETURN v_counts;
END;
$$;
COMMENT ON FUNCTION mqtt.settle_outbound(bigint [], text [], smallint [], text [], uuid) IS
'Settles messages of the outbound queue as sent, acknowledged, failed, expired or cancelled, with everything that follows in the same statement: receipt, history (if sent), '
'dead letter (if failed), activity log. Returns the count of each. Skips messages that are no longer queued and, with bridge_id, those of integrations that this bridge does not hold.';
COMMIT;

-- Deploy topicbase:ingest/store_plain_batch to pg
-- requires: base/locks
-- requires: base/message_ids
-- requires: base/parse_values
-- requires: ingest/device_session
-- requires: ingest/known_topic
-- requires: tables/history
-- requires: tables/payload_rules
-- requires: tables/queues
-- requires: tables/topic_numbers
-- requires: topics/filters
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.known_topics(session mqtt.device_session, messages jsonb) RETURNS mqtt.known_topic []
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- Further settings are those of mqtt.store_plain_batch, which calls it.
AS $$
DECLARE
    v_topics mqtt.known_topic [];
    v_is_known boolean;
BEGIN
    -- Nobody removes unused topics meanwhile, and while one is needed nobody is kept from it; what payload rules find is the worker's to find out.
    IF (SELECT o.has_all_topics FROM mqtt.organizations AS o WHERE o.id = session.organization_id)
        OR NOT pg_try_advisory_xact_lock_shared(mqtt.topics_lock(), hashtext(session.organization_id::text))
        OR EXISTS (SELECT FROM mqtt.payload_rules AS r WHERE r.integration_id = session.integration_id) THEN
        RETURN NULL;
    END IF;
    SELECT
        array_agg(ROW(n.topic, t.number)::mqtt.known_topic),
        bool_and((
            -- In a longer topic, the device's id may be too long to be one.
            t.number IS NOT NULL AND octet_length(n.topic) <= 255 AND mqtt.topic_is_under(n.topic, session.topic_prefix)
            AND (session.publish_filters IS NULL OR mqtt.topic_matches_any(session.publish_filters, n.topic))
        ) IS TRUE)
    INTO v_topics, v_is_known
    FROM (SELECT DISTINCT e.value ->> 'topic' AS topic FROM jsonb_array_elements(messages) AS e) AS n
    CROSS JOIN LATERAL mqtt.current_topic(session.organization_id, session.integration_id, n.topic) AS t;
    RETURN CASE WHEN v_is_known THEN v_topics END;
END;
$$;
COMMENT ON FUNCTION mqtt.known_topics(mqtt.device_session, jsonb) IS
'The topics of a batch, if all are known and the device may publish to all of them; else null.';

CREATE OR REPLACE FUNCTION mqtt.store_plain_batch(session mqtt.device_session, messages jsonb) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_mergejoin = off
SET jit = off
AS $$
DECLARE
    v_topics CONSTANT mqtt.known_topic [] := mqtt.known_topics(session, messages);
    v_first bigint;
    v_organization integer;
    v_digits text;
    v_stored integer;
BEGIN
    IF v_topics IS NULL THEN
        RETURN 0;
    END IF;
    -- Before the history, as the worker locks them: who alters both need not fear a deadlock.
    LOCK TABLE pgmq.q_mqtt_messages IN ROW EXCLUSIVE MODE;
    v_first := nextval('pgmq.q_mqtt_messages_msg_id_seq');
    SELECT o.number, replace(mqtt.keyed_message_id(now(), v_first, k.key)::text, '-', '') INTO v_organization, v_digits
    FROM mqtt.organizations AS o
    CROSS JOIN mqtt.message_id_key AS k
    WHERE o.id = session.organization_id;
    WITH message AS MATERIALIZED (
        SELECT
            m.ordinality::integer AS place, m.payload, t.number, mqtt.payload_time(m.payload) AS sent_at,
            m.payload IS NOT NULL AND m.has_no_more AND pg_column_size(m.payload) <= session.max_payload_bytes AS is_plain
        FROM (
            SELECT e.ordinality, e.value ->> 'topic' AS topic, e.value -> 'payload' AS payload, e.value - '{topic,payload}'::text [] = '{}' AS has_no_more
            FROM jsonb_array_elements(messages) WITH ORDINALITY AS e (value, ordinality)
            OFFSET 0
        ) AS m
        LEFT JOIN unnest(v_topics) AS t ON t.topic = m.topic
    )
    INSERT INTO mqtt.history (received_at, measured_at, position, id, organization, topic, stored_after, flags, payload)
    SELECT
        now(), coalesce(m.sent_at, now()), v_first + m.place - 1, mqtt.placed_message_id(v_digits, m.place), v_organization, m.number,
        0, CASE WHEN m.sent_at IS NULL THEN 0 ELSE 32 END, m.payload
    FROM message AS m
    WHERE NOT EXISTS (
        SELECT
        FROM message AS x
        WHERE x.number IS NULL OR x.is_plain IS NOT TRUE
            -- Time that may be closed before the worker comes is the worker's to look at; see mqtt.close_readings.
            OR x.sent_at NOT BETWEEN now() - interval '30 seconds' AND now() + interval '30 seconds'
    )
    ORDER BY m.place;
    GET DIAGNOSTICS v_stored = ROW_COUNT;
    IF v_stored > 0 THEN
        INSERT INTO pgmq.q_mqtt_messages (msg_id, vt, organization_id, integration_id, credential_id, message_count, organization)
        OVERRIDING SYSTEM VALUE
        VALUES (v_first, statement_timestamp(), session.organization_id, session.integration_id, session.credential_id, v_stored, v_organization);
    END IF;
    RETURN v_stored;
END;
$$;
COMMENT ON FUNCTION mqtt.store_plain_batch(mqtt.device_session, jsonb) IS
'Stores an array of messages in the history at once, and one work item for them in the queue, when each holds topic and payload alone, goes to a topic that the worker has seen before, and was measured now; returns how many, or 0 when it is for mqtt.enqueue_plain_batch, by which the history would have the same.';
COMMIT;

-- Deploy topicbase:process/store_messages to pg
-- requires: process/device_news
-- requires: process/number_topics
-- requires: process/record_device_facts
-- requires: process/record_late
-- requires: process/record_refused
-- requires: process/record_stored
-- requires: process/take_items
-- requires: process/take_messages
-- requires: process/write_devices
-- requires: tables/settlements
-- requires: tables/stream_viewers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.insert_samples(samples mqtt.arrived_sample [], topics mqtt.numbered_topic []) RETURNS mqtt.stored_batch
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
-- Further settings are those of mqtt.store_messages, which calls it.
AS $$
DECLARE
    v_stored mqtt.stored_batch;
    v_stored_at CONSTANT timestamptz := clock_timestamp();
BEGIN
    WITH placed AS MATERIALIZED (
        SELECT
            x.msg_id, x.enqueued_at, x.organization_id, x.integration_id, x.credential_id, n.number, x.sent_at, x.measured_at, x.qos, x.retain, x.payload,
            x.content_type, x.body, x.decode_error, x.properties, x.topic, n.organization, x.message_id IS NOT NULL AS is_id_given, x.sample, x.data,
            x.is_rule_time, CASE WHEN x.sample > 1 THEN mqtt.sample_position(x.msg_id, x.sample) ELSE x.msg_id END AS position,
            coalesce(x.message_id, mqtt.keyed_message_id(x.enqueued_at, x.msg_id, k.key, x.place)) AS id
        FROM unnest(samples) AS x
        JOIN unnest(topics) AS n
            ON n.integration_id = x.integration_id AND n.topic = x.topic AND coalesce(n.external_id, '') = coalesce(x.external_id, '')
                AND coalesce(n.message_type, '') = coalesce(x.message_type, '') AND n.topic_role = x.topic_role
        CROSS JOIN mqtt.message_id_key AS k
    ),
    stored AS (
        INSERT INTO mqtt.history (
            received_at, measured_at, position, id, organization, topic, stored_after, flags, payload, sent_at, content_type, body, decode_error, properties
        )
        SELECT x.enqueued_at, x.measured_at, x.msg_id, x.id, x.organization, x.number, mqtt.stored_after(x.enqueued_at, v_stored_at),
            (mqtt.history_flags(x.qos, x.retain, false, x.is_id_given, x.sent_at = x.measured_at) + (x.sample IS NOT NULL)::integer * 64
                + x.is_rule_time::integer * 128)::smallint,
            x.payload, nullif(x.sent_at, x.measured_at), x.content_type, x.body, x.decode_error, x.properties
        FROM placed AS x
        WHERE x.number IS NOT NULL AND coalesce(x.sample, 1) = 1
        -- As they came, so that index pages fill up instead of being split in the middle.
        ORDER BY x.msg_id
    ),
    reading AS (
        INSERT INTO mqtt.reading_rows (received_at, measured_at, position, id, message_id, organization, topic, payload)
        SELECT x.enqueued_at, x.measured_at, x.position, CASE x.sample WHEN 1 THEN x.id ELSE gen_random_uuid() END, x.id, x.organization, x.number, x.data
        FROM placed AS x
        WHERE x.data IS NOT NULL AND x.number IS NOT NULL
    )
    SELECT array_agg(g.organization_id) FILTER (WHERE g.is_stored), array_agg(g.integration_id) FILTER (WHERE g.is_stored),
        array_agg(g.credential_id) FILTER (WHERE g.is_stored), array_agg(g.minute) FILTER (WHERE g.is_stored),
        array_agg(g.n) FILTER (WHERE g.is_stored), array_agg(g.first_at) FILTER (WHERE g.is_stored), array_agg(g.last_at) FILTER (WHERE g.is_stored), array_agg(g.weight) FILTER (WHERE g.is_stored),
        (SELECT jsonb_agg(p) FROM placed AS p WHERE p.number IS NULL AND coalesce(p.sample, 1) = 1),
        (SELECT array_agg(ROW(p.organization, p.enqueued_at, p.msg_id)::mqtt.settled_position) FROM placed AS p
            WHERE p.number IS NOT NULL AND coalesce(p.sample, 1) = 1 AND p.organization > 0),
        (
            SELECT array_agg(ROW(p.number, p.measured_at, p.position)::mqtt.late_reading)
            FROM mqtt.rollup_progress AS c JOIN placed AS p ON p.organization_id = c.organization_id AND p.measured_at < c.closed_until
            WHERE c.organization_id IN (SELECT t.organization_id FROM unnest(topics) AS t)
        ) INTO v_stored
    FROM (
        SELECT p.organization_id, p.integration_id, p.credential_id, date_trunc('minute', p.enqueued_at) AS minute, p.number IS NOT NULL AS is_stored,
            count(*) AS n, min(p.enqueued_at) AS first_at, max(p.enqueued_at) AS last_at, sum(mqtt.message_weight(p.payload, p.body)) AS weight
        FROM placed AS p
        WHERE coalesce(p.sample, 1) = 1
        GROUP BY p.organization_id, p.integration_id, p.credential_id, minute, is_stored
    ) AS g;
    RETURN v_stored;
END;
$$;
COMMENT ON FUNCTION mqtt.insert_samples(mqtt.arrived_sample [], mqtt.numbered_topic []) IS
'Inserts a batch into the history, and what payload rules made of it into the reading rows; returns what else there is to do for it. A part of mqtt.store_messages.';

CREATE OR REPLACE FUNCTION mqtt.store_new(samples mqtt.arrived_sample [], devices mqtt.seen_device [], is_deferred boolean) RETURNS mqtt.stored_batch
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
-- Further settings are those of mqtt.store_messages, which calls it.
AS $$
DECLARE
    v_stored CONSTANT mqtt.stored_batch := mqtt.insert_samples(samples, mqtt.number_topics(samples, devices, is_deferred));
    v_facts jsonb;
BEGIN
    SELECT jsonb_agg(jsonb_build_array(x.organization_id, x.integration_id, x.external_id, x.msg_id, x.enqueued_at, x.facts) ORDER BY x.msg_id)
    INTO v_facts
    FROM unnest(samples) AS x
    WHERE x.facts IS NOT NULL AND x.external_id IS NOT NULL;
    IF v_facts IS NOT NULL THEN
        PERFORM mqtt.record_device_facts(v_facts);
    END IF;
    IF v_stored.late IS NOT NULL THEN
        PERFORM mqtt.record_late(v_stored.late);
    END IF;
    RETURN v_stored;
END;
$$;
COMMENT ON FUNCTION mqtt.store_new(mqtt.arrived_sample [], mqtt.seen_device [], boolean) IS
'Stores messages that the history does not have yet, and what else they say; returns what is still to be done for them. A part of mqtt.store_messages.';

CREATE OR REPLACE FUNCTION mqtt.count_samples(samples mqtt.arrived_sample []) RETURNS mqtt.stored_batch
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
-- Further settings are those of mqtt.store_messages, which calls it.
AS $$
DECLARE
    v_stored mqtt.stored_batch;
BEGIN
    SELECT
        array_agg(g.organization_id), array_agg(g.integration_id), array_agg(g.credential_id), array_agg(g.minute), array_agg(g.n),
        array_agg(g.first_at), array_agg(g.last_at), array_agg(g.weight), NULL,
        (SELECT array_agg(ROW(x.organization, x.enqueued_at, x.msg_id)::mqtt.settled_position) FROM unnest(samples) AS x), NULL
    INTO v_stored
    FROM (
        SELECT
            x.organization_id, x.integration_id, x.credential_id, date_trunc('minute', x.enqueued_at) AS minute, count(*) AS n,
            min(x.enqueued_at) AS first_at, max(x.enqueued_at) AS last_at, sum(mqtt.message_weight(x.payload, x.body)) AS weight
        FROM unnest(samples) AS x
        GROUP BY x.organization_id, x.integration_id, x.credential_id, minute
    ) AS g;
    RETURN v_stored;
END;
$$;
COMMENT ON FUNCTION mqtt.count_samples(mqtt.arrived_sample []) IS
'What else there is to do for messages that the history has had since they were accepted. A part of mqtt.store_messages.';

CREATE OR REPLACE FUNCTION mqtt.record_settlements(positions mqtt.settled_position []) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
-- Further settings are those of mqtt.store_messages, which calls it.
AS $$
BEGIN
    -- No row for each message, and no row that is updated, whose dead versions would remain while an old snapshot is held.
    INSERT INTO mqtt.settlements (settled_at, number, first_at, last_at, first_position, organization, message_count, is_outgoing, low_positions)
    SELECT
        clock_timestamp(), nextval('mqtt.settlement_numbers'), g.first_at, g.last_at, g.first_position, g.organization, g.n, false,
        CASE WHEN g.last_position - g.first_position >= g.n THEN g.low_positions END
    FROM (
        SELECT
            p.organization, min(p.received_at) AS first_at, max(p.received_at) AS last_at, min(p.position) AS first_position,
            max(p.position) AS last_position, count(*) AS n, array_agg((p.position & 1073741823)::integer ORDER BY p.position) AS low_positions
        FROM unnest(positions) AS p
        GROUP BY p.organization, date_trunc('second', p.received_at), p.position >> 30
        ORDER BY p.organization, date_trunc('second', p.received_at), p.position >> 30
    ) AS g;
    PERFORM pg_notify('topicbase_stream', '') FROM mqtt.stream_viewers AS v WHERE v.organization IN (SELECT p.organization FROM unnest(positions) AS p) LIMIT 1;
END;
$$;
COMMENT ON FUNCTION mqtt.record_settlements(mqtt.settled_position []) IS
'Records the messages that a batch settles, in the order of their acceptance, and tells those who follow them. A part of mqtt.store_messages.';

CREATE OR REPLACE FUNCTION mqtt.store_messages(tids tid []) RETURNS integer []
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- PL/pgSQL, since it keeps the plans: making them takes longer than storing a small batch.
SET plan_cache_mode = force_generic_plan
-- A plan made while the tables were small would go on reading them whole, dead rows and all, instead of by address and key.
SET enable_seqscan = off
-- Rows are wide, and would be sorted for nothing else.
SET enable_mergejoin = off
SET jit = off
SET timezone = 'UTC'
AS $$
DECLARE
    v_counts record;
    v_new mqtt.arrived_sample [];
    v_known mqtt.arrived_sample [];
    v_samples mqtt.arrived_sample [];
    v_devices mqtt.seen_device [];
    v_positions mqtt.settled_position [];
    v_settled bigint := 0;
    v_stored mqtt.stored_batch;
    -- See mqtt.apply_due_updates.
    v_is_deferred CONSTANT boolean := coalesce(nullif(current_setting('topicbase.is_update_deferred', true), ''), 'false');
BEGIN
    SELECT min(q.enqueued_at) FILTER (WHERE q.organization IS NOT NULL) AS since, max(q.enqueued_at) AS until, bool_or(q.organization IS NULL) AS has_new
    INTO v_counts
    FROM pgmq.q_mqtt_messages AS q
    WHERE q.ctid = ANY (tids);
    IF v_counts.has_new THEN
        v_new := mqtt.take_messages(tids);
    END IF;
    IF v_counts.since IS NOT NULL THEN
        v_known := mqtt.take_items(tids, v_counts.since, v_counts.until);
    END IF;
    v_samples := v_known || v_new;
    IF v_samples IS NULL THEN
        RETURN '{0,0}';
    END IF;
    v_devices := mqtt.write_devices(mqtt.news_of_devices(v_samples), v_is_deferred);
    IF v_known IS NOT NULL THEN
        v_stored := mqtt.count_samples(v_known);
        v_positions := v_stored.positions;
        v_settled := mqtt.record_stored(v_stored, v_is_deferred);
    END IF;
    IF v_new IS NULL THEN
        PERFORM mqtt.record_settlements(v_positions);
        RETURN ARRAY[v_settled, 0];
    END IF;
    v_stored := mqtt.store_new(v_new, v_devices, v_is_deferred);
    PERFORM mqtt.record_settlements(v_positions || v_stored.positions);
    RETURN ARRAY[
        v_settled + mqtt.record_stored(v_stored, v_is_deferred),
        CASE WHEN v_stored.refused IS NULL THEN 0 ELSE mqtt.record_refused(v_stored.refused) END
    ];
END;
$$;
COMMENT ON FUNCTION mqtt.store_messages(tid []) IS
'Settles queued messages, by row address: moves those that are not stored yet into the history, and makes the effects of all: devices (newest data wins), credential statistics (both deferred while vacuum is held back, see mqtt.apply_due_updates), activity log, late readings. Those to topics beyond configuration.max_topics become dead letters. Returns how many were settled and how many became dead letters; raises when one of them cannot be stored.';
COMMIT;

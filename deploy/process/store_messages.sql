-- Deploy topicbase:process/store_messages to pg
-- requires: process/device_news
-- requires: process/number_topics
-- requires: process/prepare_sparkplug
-- requires: process/record_device_facts
-- requires: process/record_late
-- requires: process/record_refused
-- requires: process/record_stored
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
            x.is_rule_time,
            CASE WHEN x.sample > 1 THEN mqtt.sample_position(x.msg_id, x.sample) ELSE x.msg_id END AS position,
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
        SELECT
            x.enqueued_at, x.measured_at, x.msg_id, x.id, x.organization, x.number, mqtt.stored_after(x.enqueued_at, v_stored_at),
            (mqtt.history_flags(x.qos, x.retain, false, x.is_id_given, x.sent_at = x.measured_at) + (x.sample IS NOT NULL)::integer * 64
                + x.is_rule_time::integer * 128)::smallint,
            x.payload, nullif(x.sent_at, x.measured_at), x.content_type, x.body, x.decode_error, x.properties
        FROM placed AS x
        WHERE x.number IS NOT NULL AND coalesce(x.sample, 1) = 1
        -- As they came, so that index pages fill up instead of being split in the middle.
        ORDER BY x.msg_id
    ),
    -- No row for each message, and no row that is updated, whose dead versions would remain while an old snapshot is held.
    settled AS (
        INSERT INTO mqtt.settlements (settled_at, number, first_at, last_at, first_position, organization, message_count, is_outgoing, low_positions)
        SELECT
            v_stored_at, nextval('mqtt.settlement_numbers'), g.first_at, g.last_at, g.first_position, g.organization, g.n, false,
            CASE WHEN g.last_position - g.first_position >= g.n THEN g.low_positions END
        FROM (
            SELECT
                p.organization, min(p.enqueued_at) AS first_at, max(p.enqueued_at) AS last_at, min(p.msg_id) AS first_position,
                max(p.msg_id) AS last_position, count(*) AS n, array_agg((p.msg_id & 1073741823)::integer ORDER BY p.msg_id) AS low_positions
            FROM placed AS p
            WHERE p.number IS NOT NULL AND coalesce(p.sample, 1) = 1 AND p.organization > 0
            GROUP BY p.organization, date_trunc('second', p.enqueued_at), p.msg_id >> 30
            ORDER BY p.organization, date_trunc('second', p.enqueued_at), p.msg_id >> 30
        ) AS g
    ),
    reading AS (
        INSERT INTO mqtt.reading_rows (received_at, measured_at, position, id, message_id, organization, topic, payload)
        SELECT
            x.enqueued_at, x.measured_at, x.position, CASE x.sample WHEN 1 THEN x.id ELSE gen_random_uuid() END, x.id, x.organization, x.number, x.data
        FROM placed AS x
        WHERE x.data IS NOT NULL AND x.number IS NOT NULL
    )
    SELECT array_agg(g.organization_id) FILTER (WHERE g.is_stored), array_agg(g.integration_id) FILTER (WHERE g.is_stored),
        array_agg(g.credential_id) FILTER (WHERE g.is_stored), array_agg(g.minute) FILTER (WHERE g.is_stored),
        array_agg(g.n) FILTER (WHERE g.is_stored), array_agg(g.last_at) FILTER (WHERE g.is_stored),
        (SELECT jsonb_agg(p) FROM placed AS p WHERE p.number IS NULL AND coalesce(p.sample, 1) = 1),
        (
            SELECT array_agg(ROW(p.number, p.measured_at, p.position)::mqtt.late_reading)
            FROM mqtt.rollup_progress AS c JOIN placed AS p ON p.organization_id = c.organization_id AND p.measured_at < c.closed_until
            WHERE c.organization_id IN (SELECT t.organization_id FROM unnest(topics) AS t)
        ) INTO v_stored
    FROM (
        SELECT
            p.organization_id, p.integration_id, p.credential_id, date_trunc('minute', p.enqueued_at) AS minute, p.number IS NOT NULL AS is_stored,
            count(*) AS n, max(p.enqueued_at) AS last_at
        FROM placed AS p
        WHERE coalesce(p.sample, 1) = 1
        GROUP BY p.organization_id, p.integration_id, p.credential_id, minute, is_stored
    ) AS g;
    PERFORM pg_notify('topicbase_stream', '') FROM mqtt.stream_viewers AS v WHERE v.organization IN (SELECT t.organization FROM unnest(topics) AS t) LIMIT 1;
    RETURN v_stored;
END;
$$;
COMMENT ON FUNCTION mqtt.insert_samples(mqtt.arrived_sample [], mqtt.numbered_topic []) IS
'Inserts a batch into the history, and what payload rules made of it into the reading rows; returns what else there is to do for it. A part of mqtt.store_messages.';

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
    v_prepared jsonb;
    v_samples mqtt.arrived_sample [];
    v_news mqtt.device_news [];
    v_devices mqtt.seen_device [];
    v_facts jsonb;
    v_stored mqtt.stored_batch;
    -- See mqtt.apply_due_updates.
    v_is_deferred CONSTANT boolean := coalesce(nullif(current_setting('topicbase.is_update_deferred', true), ''), 'false');
BEGIN
    IF EXISTS (SELECT FROM mqtt.payload_rules AS r WHERE r.decode = 'sparkplug') THEN
        v_prepared := mqtt.prepare_sparkplug(tids);
    END IF;
    v_samples := mqtt.take_messages(tids, v_prepared);
    IF v_samples IS NULL THEN
        RETURN '{0,0}';
    END IF;
    v_news := mqtt.news_of_devices(v_samples);
    IF v_news IS NOT NULL THEN
        v_devices := mqtt.write_devices(v_news, v_is_deferred);
    END IF;
    v_stored := mqtt.insert_samples(v_samples, mqtt.number_topics(v_samples, v_devices));
    SELECT jsonb_agg(jsonb_build_array(x.organization_id, x.integration_id, x.external_id, x.msg_id, x.enqueued_at, x.facts) ORDER BY x.msg_id)
    INTO v_facts
    FROM unnest(v_samples) AS x
    WHERE x.facts IS NOT NULL AND x.external_id IS NOT NULL;
    IF v_facts IS NOT NULL THEN
        PERFORM mqtt.record_device_facts(v_facts);
    END IF;
    IF v_stored.late IS NOT NULL THEN
        PERFORM mqtt.record_late(v_stored.late);
    END IF;
    RETURN ARRAY[
        mqtt.record_stored(
            v_stored.organizations, v_stored.integrations, v_stored.credentials, v_stored.minutes, v_stored.counts, v_stored.last_at, v_is_deferred
        ),
        CASE WHEN v_stored.refused IS NULL THEN 0 ELSE mqtt.record_refused(v_stored.refused) END
    ];
END;
$$;
COMMENT ON FUNCTION mqtt.store_messages(tid []) IS
'Moves queued messages, by row address, into the history, with all their effects: devices (newest data wins), credential statistics (both deferred while vacuum is held back, see mqtt.apply_due_updates), activity log, late readings. Those to topics beyond configuration.max_topics become dead letters. Returns how many were stored and how many became dead letters; raises when one of them cannot be stored.';
COMMIT;

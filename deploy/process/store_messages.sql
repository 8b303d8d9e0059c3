-- Deploy topicbase:process/store_messages to pg
-- requires: process/decoded_samples
-- requires: process/prepare_sparkplug
-- requires: process/record_device_facts
-- requires: process/record_late
-- requires: process/record_refused
-- requires: process/record_stored
-- requires: tables/settlements
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.store_messages(tids tid []) RETURNS integer []
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
-- A plan made while the tables were small would go on reading them whole, dead rows and all, instead of by address and key.
SET enable_seqscan = off
-- Rows are wide, and would be sorted for nothing else.
SET enable_mergejoin = off
SET jit = off
SET timezone = 'UTC'
AS $$
DECLARE
    v_stored record;
    v_prepared jsonb;
    v_stored_at CONSTANT timestamptz := clock_timestamp();
    -- See mqtt.apply_due_updates.
    v_is_deferred CONSTANT boolean := coalesce(nullif(current_setting('topicbase.is_update_deferred', true), ''), 'false');
BEGIN
    IF EXISTS (SELECT FROM mqtt.payload_rules AS r WHERE r.decode = 'sparkplug') THEN
        v_prepared := mqtt.prepare_sparkplug(tids);
    END IF;
    -- PL/pgSQL, since it keeps the plan: making it takes longer than storing a small batch.
    WITH taken AS MATERIALIZED (
        DELETE FROM pgmq.q_mqtt_messages AS q
        WHERE q.ctid = ANY (tids)
        RETURNING q.msg_id, q.enqueued_at, q.place, q.organization_id, q.integration_id, q.credential_id, q.message_id, q.message, q.body
    ),
    -- Looked up once for each, not for each message.
    integration AS MATERIALIZED (
        SELECT i.id, i.topic_like, i.topic_levels, i.device_level, i.message_type_level, i.settings ->> 'content_type' AS content_type,
            EXISTS (SELECT FROM mqtt.payload_rules AS p WHERE p.integration_id = i.id) AS has_rules
        FROM mqtt.device_integrations AS i
        WHERE i.id IN (SELECT t.integration_id FROM taken AS t)
    ),
    -- A row for each message; of one that a payload rule matches, a row for each sample in it.
    decoded AS MATERIALIZED (
        SELECT t.msg_id, t.enqueued_at, t.place, t.organization_id, t.integration_id, t.credential_id, t.message_id, m.*
        FROM taken AS t
        CROSS JOIN mqtt.configuration AS c
        LEFT JOIN integration AS i ON i.id = t.integration_id
        CROSS JOIN LATERAL mqtt.decoded_samples(
            t.organization_id, t.integration_id, t.credential_id, t.message, t.body, v_prepared -> t.msg_id::text, t.enqueued_at, i.content_type,
            i.topic_like, i.topic_levels, i.device_level, i.message_type_level, i.has_rules, c.max_time_behind, c.max_time_ahead
        ) AS m
    ),
    -- Of each device, what was measured last of its telemetry and is JSON, if anything is; of what was measured at the same time, the last that came.
    newest AS MATERIALIZED (
        SELECT x.organization_id, x.integration_id, x.external_id,
            max(x.enqueued_at) FILTER (WHERE NOT x.is_retained AND x.role NOT IN ('command', 'ignore')) AS last_seen_at,
            max(x.measured_at) FILTER (WHERE x.is_news) AS any_at, max(x.measured_at) FILTER (WHERE x.is_news AND (x.body IS NULL OR x.data IS NOT NULL)) AS json_at
        FROM decoded AS x
        WHERE x.external_id IS NOT NULL
        GROUP BY x.organization_id, x.integration_id, x.external_id
    ),
    data AS MATERIALIZED (
        SELECT DISTINCT ON (n.organization_id, n.integration_id, n.external_id)
            n.organization_id, n.integration_id, n.external_id, coalesce(x.data, CASE WHEN x.body IS NULL THEN x.payload END) AS last_data,
            x.measured_at AS last_data_at, n.last_seen_at, x.msg_id
        FROM newest AS n
        LEFT JOIN decoded AS x ON x.integration_id = n.integration_id AND x.external_id = n.external_id AND x.is_news
            AND x.measured_at = coalesce(n.json_at, n.any_at) AND (x.body IS NULL OR x.data IS NOT NULL) = (n.json_at IS NOT NULL)
        ORDER BY n.organization_id, n.integration_id, n.external_id, x.msg_id DESC, x.sample DESC
    ),
    latest AS MATERIALIZED (
        SELECT x.integration_id, x.external_id,
            jsonb_object_agg(r.metric, jsonb_build_object('value', r.value, 'at', x.at) ORDER BY x.measured_at, x.msg_id, x.sample) AS latest
        FROM (SELECT l.*, ARRAY(SELECT jsonb_object_keys(mqtt.object_or_none(l.last_data))) AS names FROM data AS l OFFSET 0) AS d
        JOIN (SELECT m.*, to_jsonb(m.measured_at) AS at FROM decoded AS m OFFSET 0) AS x USING (integration_id, external_id)
        CROSS JOIN LATERAL mqtt.payload_metrics(coalesce(x.data, mqtt.data_of_payload(x.payload, x.sent_at))) AS r
        WHERE (x.body IS NULL OR x.data IS NOT NULL) AND (x.sample IS NULL OR x.data IS NOT NULL)
            AND mqtt.is_news(x.organization_id, x.integration_id, x.external_id, x.role, x.is_retained, r.metric)
            AND (x.msg_id = d.msg_id OR NOT mqtt.is_covered(coalesce(x.data, x.payload), d.names))
        GROUP BY x.integration_id, x.external_id
    ),
    news AS MATERIALIZED (
        SELECT d.organization_id, integration_id, external_id, d.last_data, d.last_data_at, d.last_seen_at, coalesce(l.latest, '{}') AS latest
        FROM data AS d
        LEFT JOIN latest AS l USING (integration_id, external_id)
    ),
    known AS MATERIALIZED (
        SELECT d.id, n.*
        FROM news AS n
        CROSS JOIN LATERAL mqtt.known_device(n.organization_id, n.integration_id, n.external_id) AS d
        WHERE v_is_deferred
    ),
    deferred_news AS (
        INSERT INTO mqtt.deferred_device_updates (organization_id, device_id, last_data, last_data_at, last_seen_at, latest)
        SELECT k.organization_id, k.id, k.last_data, k.last_data_at, k.last_seen_at, k.latest FROM known AS k
    ),
    -- In the order of the key, so that two workers cannot lock each other out.
    seen AS (
        INSERT INTO mqtt.devices AS d (organization_id, integration_id, external_id, last_data, last_data_at, last_seen_at, latest)
        SELECT n.*
        FROM news AS n
        WHERE NOT v_is_deferred OR NOT EXISTS (SELECT FROM known AS k WHERE k.integration_id = n.integration_id AND k.external_id = n.external_id)
        ORDER BY n.organization_id, n.integration_id, n.external_id
        ON CONFLICT (organization_id, integration_id, external_id) DO UPDATE SET
            last_data = mqtt.latest_data(d.last_data, d.last_data_at, excluded.last_data, excluded.last_data_at),
            latest = mqtt.newest_values(d.latest, d.last_data_at, excluded.latest, excluded.last_data_at),
            last_data_at = greatest(d.last_data_at, excluded.last_data_at),
            last_seen_at = greatest(d.last_seen_at, excluded.last_seen_at),
            presence = mqtt.presence_once_seen(d.presence, excluded.last_seen_at)
        RETURNING d.id, d.integration_id, d.external_id
    ),
    device AS MATERIALIZED (
        SELECT * FROM seen
        UNION ALL
        SELECT k.id, k.integration_id, k.external_id FROM known AS k
    ),
    topic AS MATERIALIZED (
        SELECT w.*, s.id AS device_id, t.number
        FROM (
            SELECT DISTINCT x.organization_id, x.integration_id, x.topic, x.external_id, x.message_type, x.topic_role
            FROM decoded AS x
        ) AS w
        LEFT JOIN device AS s USING (integration_id, external_id)
        CROSS JOIN LATERAL mqtt.topic_number(w.organization_id, w.integration_id, w.topic, s.id, w.message_type, w.topic_role) AS t
    ),
    new_topic AS (
        INSERT INTO mqtt.topics (organization_id, number, integration_id, device_id, role, topic, message_type)
        SELECT n.organization_id, nextval('mqtt.topic_numbers'), n.integration_id, n.device_id, n.topic_role, n.topic, n.message_type
        FROM (
            SELECT t.*, row_number() OVER (PARTITION BY t.organization_id) + coalesce(
                (SELECT c.topics FROM mqtt.topic_counts AS c WHERE c.organization_id = t.organization_id), 0
            ) AS place
            FROM topic AS t
            WHERE t.number IS NULL
        ) AS n
        WHERE n.place <= (SELECT c.max_topics FROM mqtt.configuration AS c)
        RETURNING organization_id, number, integration_id, topic, device_id, message_type, role
    ),
    counted AS (
        INSERT INTO mqtt.topic_counts AS c (organization_id, topics)
        SELECT n.organization_id, count(*) FROM new_topic AS n GROUP BY n.organization_id
        ON CONFLICT ON CONSTRAINT topic_counts_pkey DO UPDATE SET topics = c.topics + excluded.topics
    ),
    numbered AS MATERIALIZED (
        SELECT t.integration_id, t.topic, t.external_id, t.message_type, t.topic_role, coalesce(t.number, n.number) AS number
        FROM topic AS t
        LEFT JOIN new_topic AS n
            ON t.number IS NULL AND n.integration_id = t.integration_id AND n.topic = t.topic AND n.device_id IS NOT DISTINCT FROM t.device_id
                AND n.message_type IS NOT DISTINCT FROM t.message_type AND n.role = t.topic_role
    ),
    placed AS MATERIALIZED (
        SELECT
            x.msg_id, x.enqueued_at, x.organization_id, x.integration_id, x.credential_id, n.number, x.sent_at, x.measured_at, x.qos, x.retain, x.payload,
            x.content_type, x.body, x.decode_error, x.properties, x.topic, coalesce(o.number, 0) AS organization, x.message_id IS NOT NULL AS is_id_given,
            x.sample, x.data, x.is_rule_time, CASE WHEN x.sample > 1 THEN mqtt.sample_position(x.msg_id, x.sample) ELSE x.msg_id END AS position,
            coalesce(x.message_id, mqtt.keyed_message_id(x.enqueued_at, x.msg_id, k.key, x.place)) AS id
        FROM decoded AS x
        JOIN numbered AS n
            ON n.integration_id = x.integration_id AND n.topic = x.topic AND coalesce(n.external_id, '') = coalesce(x.external_id, '')
                AND coalesce(n.message_type, '') = coalesce(x.message_type, '') AND n.topic_role = x.topic_role
        CROSS JOIN mqtt.message_id_key AS k
        -- None where the organization was deleted meanwhile.
        LEFT JOIN mqtt.organizations AS o ON o.id = x.organization_id
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
            x.enqueued_at, x.measured_at, x.position, CASE x.sample WHEN 1 THEN x.id ELSE gen_random_uuid() END, x.id,
            x.organization, x.number, x.data
        FROM placed AS x
        WHERE x.data IS NOT NULL AND x.number IS NOT NULL
    )
    SELECT
        array_agg(g.organization_id) FILTER (WHERE g.is_stored) AS organizations, array_agg(g.integration_id) FILTER (WHERE g.is_stored) AS integrations,
        array_agg(g.credential_id) FILTER (WHERE g.is_stored) AS credentials, array_agg(g.minute) FILTER (WHERE g.is_stored) AS minutes,
        array_agg(g.n) FILTER (WHERE g.is_stored) AS counts, array_agg(g.last_at) FILTER (WHERE g.is_stored) AS last_at,
        (SELECT jsonb_agg(p) FROM placed AS p WHERE p.number IS NULL AND coalesce(p.sample, 1) = 1) AS refused,
        (
            SELECT jsonb_agg(jsonb_build_array(x.organization_id, x.integration_id, x.external_id, x.msg_id, x.enqueued_at, x.facts) ORDER BY x.msg_id)
            FROM decoded AS x
            WHERE x.facts IS NOT NULL AND x.external_id IS NOT NULL
        ) AS facts,
        (
            SELECT array_agg(ROW(p.number, p.measured_at, p.position)::mqtt.late_reading)
            FROM mqtt.rollup_progress AS c JOIN placed AS p ON p.organization_id = c.organization_id AND p.measured_at < c.closed_until
            WHERE c.organization_id = ANY (ARRAY(SELECT t.organization_id FROM taken AS t))
        ) AS late INTO v_stored
    FROM (
        SELECT
            p.organization_id, p.integration_id, p.credential_id, date_trunc('minute', p.enqueued_at) AS minute, p.number IS NOT NULL AS is_stored,
            count(*) AS n, max(p.enqueued_at) AS last_at
        FROM placed AS p
        WHERE coalesce(p.sample, 1) = 1
        GROUP BY p.organization_id, p.integration_id, p.credential_id, minute, is_stored
    ) AS g;
    IF v_stored.facts IS NOT NULL THEN
        PERFORM mqtt.record_device_facts(v_stored.facts);
    END IF;
    PERFORM mqtt.record_late(v_stored.late) WHERE v_stored.late IS NOT NULL;
    RETURN ARRAY[
        mqtt.record_stored(
            v_stored.organizations, v_stored.integrations, v_stored.credentials, v_stored.minutes, v_stored.counts, v_stored.last_at, v_is_deferred
        ),
        CASE WHEN v_stored.refused IS NULL THEN 0 ELSE mqtt.record_refused(v_stored.refused) END
    ];
END;
$$;
COMMENT ON FUNCTION mqtt.store_messages(tid []) IS
'Moves queued messages, by row address, into the history in one statement, with all their effects: devices (newest data wins), credential statistics (both deferred while vacuum is held back, see mqtt.apply_due_updates), activity log, late readings. Those to topics beyond configuration.max_topics become dead letters. Returns how many were stored and how many became dead letters; raises when one of them cannot be stored.';
COMMIT;

-- Deploy topicbase:bridge/ingest to pg
-- requires: bridge/ingest_plain
-- requires: tables/ingest_keys
-- requires: tables/integration_activity_log
-- requires: tables/mqtt_dead_letters
-- requires: tables/mqtt_subscriptions
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION bridge.ingest(
    bridge_id uuid, integration_ids uuid [], integration_numbers integer [], topics text [], payloads bytea [], qos smallint [], retains boolean [],
    content_types text [] DEFAULT NULL, properties jsonb [] DEFAULT NULL, faults text [] DEFAULT NULL,
    subscription_numbers integer [] DEFAULT NULL
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
DECLARE
    v_counts jsonb;
    v_organizations uuid [];
    v_accepted integer [];
    v_dead integer [];
BEGIN
    IF ingest.content_types IS NULL AND ingest.properties IS NULL AND ingest.faults IS NULL AND ingest.subscription_numbers IS NULL THEN
        v_counts := mqtt.queue_plain(
            ingest.bridge_id, ingest.integration_ids, ingest.integration_numbers, ingest.topics, ingest.payloads, ingest.qos, ingest.retains
        );
        IF v_counts IS NOT NULL THEN
            RETURN v_counts;
        END IF;
    END IF;
    WITH held AS (
        SELECT h.number, l.organization_id, l.integration_id
        FROM unnest(ingest.integration_ids) WITH ORDINALITY AS h (integration_id, number)
        JOIN mqtt.bridge_leases AS l ON l.integration_id = h.integration_id AND l.bridge_id = ingest.bridge_id
    ), came AS MATERIALIZED (
        SELECT
            h.organization_id, h.integration_id, m.topic, m.payload, m.place, m.qos, m.retain, m.subscription_number,
            jsonb_build_object('topic', m.topic)
            || CASE WHEN m.qos > 0 THEN jsonb_build_object('qos', m.qos) ELSE '{}' END
            || CASE WHEN m.retain THEN '{"retain": true}'::jsonb ELSE '{}' END
            || CASE WHEN m.content_type IS NULL THEN '{}' ELSE jsonb_build_object('content_type', m.content_type) END
            || CASE WHEN m.properties IS NULL THEN '{}' ELSE jsonb_build_object('properties', m.properties) END AS message,
            CASE WHEN m.properties ? 'user_properties' THEN (
                SELECT (p.value ->> 1)::uuid
                FROM jsonb_array_elements(m.properties -> 'user_properties') AS p
                WHERE p.value ->> 0 = 'message_id' AND p.value ->> 1 ~ '^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$'
                LIMIT 1
            ) END AS message_id,
            CASE
                WHEN m.fault IS NOT NULL THEN m.fault
                WHEN octet_length(m.payload) > c.max_payload_bytes
                    THEN format('The payload has %s bytes; this installation takes at most %s.', octet_length(m.payload), c.max_payload_bytes)
                -- What a broker tells of itself is welcome, though nobody may publish it.
                ELSE mqtt.topic_name_error(regexp_replace(m.topic, '^\$', ''))
            END AS fault
        FROM unnest(
            ingest.integration_numbers, ingest.topics, ingest.payloads, ingest.qos, ingest.retains, ingest.content_types, ingest.properties,
            ingest.faults, ingest.subscription_numbers
        ) WITH ORDINALITY AS m (number, topic, payload, qos, retain, content_type, properties, fault, subscription_number, place)
        JOIN held AS h ON h.number = m.number
        CROSS JOIN mqtt.configuration AS c
    ),
    -- Messages of the same topic are matched once, with the few filters that an index finds.
    alike AS MATERIALIZED (
        SELECT row_number() OVER () AS id, k.*
        FROM (
            SELECT a.organization_id, a.integration_id, a.topic, a.qos, a.retain, a.subscription_number, array_agg(a.place) AS places
            FROM came AS a
            WHERE a.subscription_number IS NOT NULL
            GROUP BY a.organization_id, a.integration_id, a.topic, a.qos, a.retain, a.subscription_number
        ) AS k
    ), candidate AS MATERIALIZED (
        SELECT
            k.id AS alike_id, k.places, k.topic, k.qos, k.retain, k.subscription_number, s.id, s.number, s.granted_qos, s.no_local,
            s.active_at, starts_with(s.topic, '$share/') AS is_shared, s.pattern
        FROM alike AS k
        CROSS JOIN LATERAL mqtt.topic_prefixes(k.topic) AS p (prefix)
        CROSS JOIN LATERAL (
            SELECT f.*
            FROM mqtt.mqtt_subscriptions AS f
            WHERE f.organization_id = k.organization_id AND f.integration_id = k.integration_id AND f.prefix = p.prefix
                AND f.status = 'active' AND NOT f.is_paused
            -- Looked up for each prefix, never all filters joined first.
            OFFSET 0
        ) AS s
        -- PostgreSQL keeps 32 compiled expressions: so, each is compiled once.
        ORDER BY s.number
    ), filter AS (
        SELECT
            c.*,
            max(c.number) FILTER (WHERE c.number = c.subscription_number) OVER own AS own_number,
            max(c.active_at) FILTER (WHERE c.number = c.subscription_number) OVER own AS own_active_at,
            max(c.granted_qos) FILTER (WHERE c.number = c.subscription_number) OVER own AS own_granted_qos,
            bool_or(c.no_local) FILTER (WHERE c.number = c.subscription_number) OVER own AS own_no_local,
            bool_or(c.is_shared) FILTER (WHERE c.number = c.subscription_number) OVER own AS own_is_shared
        FROM candidate AS c
        WHERE c.topic ~ c.pattern
        WINDOW own AS (PARTITION BY c.alike_id)
    ),
    -- Many brokers send a copy for each filter that matches. One is kept, and names all: the copy of the filter that was there first, so that
    -- there must be one; of QoS 0 copies beside others, none. Shared filters share with others, and what was retained was not sent to all.
    matched AS MATERIALIZED (
        SELECT
            unnest(f.places) AS place,
            jsonb_agg(f.id ORDER BY f.active_at, f.number) AS ids,
            coalesce(bool_or(
                f.number <> f.own_number AND NOT f.is_shared AND NOT f.own_is_shared AND NOT f.retain AND (f.own_no_local OR NOT f.no_local)
                AND CASE f.qos
                    WHEN 0 THEN f.granted_qos > f.own_granted_qos
                        OR f.granted_qos = f.own_granted_qos AND (f.active_at, f.number) < (f.own_active_at, f.own_number)
                    ELSE f.granted_qos > 0 AND (f.active_at, f.number) < (f.own_active_at, f.own_number)
                END
            ), false) AS is_copy
        FROM filter AS f
        GROUP BY f.alike_id, f.places
    ), arrived AS MATERIALIZED (
        SELECT
            a.organization_id, a.integration_id, a.topic, a.payload, a.place, a.message_id, a.fault,
            CASE
                WHEN m.ids IS NULL THEN a.message
                ELSE a.message || jsonb_build_object(
                    'properties', coalesce(a.message -> 'properties', '{}') || jsonb_build_object('subscription_ids', m.ids)
                )
            END AS message
        FROM came AS a
        LEFT JOIN matched AS m ON m.place = a.place
        WHERE m.is_copy IS NOT TRUE
    ),
    -- In the order of the ids, so that two bridges with the same messages cannot lock each other out.
    fresh AS (
        INSERT INTO mqtt.ingest_keys (organization_id, credential_id, message_id)
        SELECT DISTINCT a.organization_id, a.integration_id, a.message_id
        FROM arrived AS a
        WHERE a.fault IS NULL AND a.message_id IS NOT NULL
        ORDER BY a.organization_id, a.integration_id, a.message_id
        ON CONFLICT DO NOTHING
        RETURNING credential_id AS integration_id, message_id
    ), kept AS MATERIALIZED (
        SELECT a.*
        FROM arrived AS a
        WHERE a.message_id IS NULL OR a.fault IS NOT NULL
        UNION ALL
        (
            SELECT DISTINCT ON (a.integration_id, a.message_id) a.*
            FROM arrived AS a
            JOIN fresh AS f ON f.integration_id = a.integration_id AND f.message_id = a.message_id
            WHERE a.fault IS NULL
            ORDER BY a.integration_id, a.message_id, a.place
        )
    ), queued AS (
        INSERT INTO pgmq.q_mqtt_messages (vt, message, organization_id, integration_id, message_id, body)
        SELECT
            clock_timestamp(), k.message, k.organization_id, k.integration_id,
            -- Two integrations may bring the same: then they are two rows of the history, received at the same time.
            CASE WHEN row_number() OVER (PARTITION BY k.organization_id, k.message_id ORDER BY k.place) = 1 THEN k.message_id END,
            k.payload
        FROM kept AS k
        WHERE k.fault IS NULL
        ORDER BY k.place
    ), dead AS (
        INSERT INTO mqtt.mqtt_dead_letters (
            received_at, organization_id, id, integration_id, direction, attempts, topic, message, body, error_message, errors
        )
        SELECT
            now(), a.organization_id, gen_random_uuid(), a.integration_id, 'incoming', 0, a.topic, a.message, a.payload, a.fault,
            jsonb_build_array(jsonb_build_object('at', clock_timestamp(), 'error', a.fault))
        FROM arrived AS a
        WHERE a.fault IS NOT NULL
    ), logged AS (
        INSERT INTO mqtt.integration_activity_log (
            organization_id, integration_id, direction, message_count, activity_type, status, error_message
        )
        SELECT a.organization_id, a.integration_id, 'incoming', count(*), 'message_dead', 'failed', a.fault
        FROM arrived AS a
        WHERE a.fault IS NOT NULL
        GROUP BY a.organization_id, a.integration_id, a.fault
    ), counted AS (
        SELECT k.organization_id, count(*) AS accepted, count(k.fault) AS dead
        FROM kept AS k
        GROUP BY k.organization_id
    ), repeated AS (
        SELECT (SELECT count(*) FROM came) - (SELECT count(*) FROM kept) AS n
    )
    SELECT
        jsonb_build_object(
            'queued', coalesce(sum(c.accepted - c.dead), 0),
            'dead', coalesce(sum(c.dead), 0),
            'passed_over', cardinality(ingest.topics) - coalesce(sum(c.accepted), 0) - r.n
        ) || CASE WHEN r.n = 0 THEN '{}' ELSE jsonb_build_object('repeated', r.n) END
        || coalesce((
            SELECT jsonb_build_object('not_held', jsonb_agg(i.id ORDER BY i.id))
            FROM unnest(ingest.integration_ids) AS i (id)
            WHERE NOT EXISTS (SELECT FROM held AS h WHERE h.integration_id = i.id)
            HAVING count(*) > 0
        ), '{}'),
        array_agg(c.organization_id ORDER BY c.organization_id) FILTER (WHERE c.organization_id IS NOT NULL),
        array_agg(c.accepted ORDER BY c.organization_id) FILTER (WHERE c.organization_id IS NOT NULL),
        array_agg(c.dead ORDER BY c.organization_id) FILTER (WHERE c.organization_id IS NOT NULL)
    INTO v_counts, v_organizations, v_accepted, v_dead
    FROM repeated AS r
    LEFT JOIN counted AS c ON true
    GROUP BY r.n;
    PERFORM mqtt.count_accepted(c.organization_id, c.accepted)
    FROM unnest(v_organizations, v_accepted) AS c (organization_id, accepted);
    PERFORM mqtt.count_dead(c.organization_id, now())
    FROM unnest(v_organizations, v_dead) AS c (organization_id, dead)
    CROSS JOIN LATERAL generate_series(1, c.dead);
    IF (v_counts ->> 'queued')::integer > 0 THEN
        PERFORM mqtt.wake_bridge('ingest');
    END IF;
    RETURN v_counts;
END;
$$;
COMMENT ON FUNCTION bridge.ingest(uuid, uuid [], integer [], text [], bytea [], smallint [], boolean [], text [], jsonb [], text [], integer []) IS
'Queues what brokers delivered, byte for byte: element i came for integration_ids[integration_numbers[i]]. What cannot be queued (an impossible topic, too large a payload, a fault '
'that the bridge names) becomes a dead letter at once. A UUID in the MQTT 5 user property message_id makes a message that comes again stored once, within '
'configuration.idempotency_window. subscription_numbers: for integrations with several filters, the one that the broker names, or 0 where it names none (null for '
'the others): the message names in properties.subscription_ids all that match, and of the copies of brokers that send one for each filter one is kept. To be acknowledged to the broker only after this has been committed. Returns {"queued", "dead", "passed_over"}, and "repeated" where there were any; '
'passed over are messages for integrations that the bridge does not hold, "not_held": those must not be acknowledged, for whoever holds them is to get them.';
GRANT EXECUTE ON FUNCTION bridge.ingest(uuid, uuid [], integer [], text [], bytea [], smallint [], boolean [], text [], jsonb [], text [], integer []) TO mqtt_bridge;
COMMIT;

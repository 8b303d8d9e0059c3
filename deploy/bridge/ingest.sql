-- Deploy topicbase:bridge/ingest to pg
-- requires: bridge/delivered_messages
-- requires: bridge/ingest_plain
-- requires: bridge/repeated_retained
-- requires: tables/bridges
-- requires: tables/ingest_keys
-- requires: tables/integration_activity_log
-- requires: tables/mqtt_dead_letters
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.ingest_deliveries(
    owners uuid [], integration_ids uuid [], integration_numbers integer [], topics text [], payloads bytea [], qos smallint [], retains boolean [],
    content_types text [], properties jsonb [], faults text [], subscription_numbers integer []
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
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
    -- The usual case: mqtt.ingest_plain does the same for ordinary messages, in a third of the time.
    IF content_types IS NULL AND ingest_deliveries.properties IS NULL AND faults IS NULL AND subscription_numbers IS NULL THEN
        v_counts := mqtt.ingest_plain(owners, integration_ids, integration_numbers, topics, payloads, ingest_deliveries.qos, retains);
        IF v_counts IS NOT NULL THEN
            RETURN v_counts;
        END IF;
    END IF;
    WITH came AS MATERIALIZED (
        SELECT m.* FROM mqtt.delivered_messages(
            owners, integration_ids, integration_numbers, topics, payloads, ingest_deliveries.qos, retains, content_types, ingest_deliveries.properties,
            faults, subscription_numbers
        ) AS m
    ), arrived AS MATERIALIZED (
        SELECT c.* FROM came AS c WHERE NOT c.is_copy
    ),
    -- In the order of the ids, so that two bridges with the same messages cannot deadlock.
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
            -- CASE keeps the planner, which expects a few rows only, from joining them row by row: it is looked up in a hash.
            WHERE a.fault IS NULL AND CASE
                WHEN a.message_id IS NOT NULL THEN (a.integration_id, a.message_id) IN (SELECT f.integration_id, f.message_id FROM fresh AS f)
            END
            ORDER BY a.integration_id, a.message_id, a.place
        )
    ), queued AS (
        INSERT INTO pgmq.q_mqtt_messages (vt, message, organization_id, integration_id, message_id, body, place)
        SELECT
            clock_timestamp(), k.message, k.organization_id, k.integration_id,
            -- Two integrations may deliver the same message: then the history has two rows, received at the same time.
            CASE WHEN row_number() OVER (PARTITION BY k.organization_id, k.message_id ORDER BY k.place) = 1 THEN k.message_id END,
            k.payload, row_number() OVER (PARTITION BY k.organization_id, k.integration_id ORDER BY k.place)
        FROM kept AS k
        WHERE k.fault IS NULL
        ORDER BY k.place
    ), dead AS (
        INSERT INTO mqtt.mqtt_dead_letters (
            received_at, organization_id, id, integration_id, direction, attempts, topic, message, body, error_message, errors
        )
        SELECT
            now(), a.organization_id, gen_random_uuid(), a.integration_id, 'incoming', 0, a.topic,
            a.message || CASE WHEN octet_length(a.payload) > c.max_payload_bytes THEN jsonb_build_object('payload_bytes', octet_length(a.payload)) ELSE '{}' END,
            -- Of what is too large the first part tells enough.
            CASE WHEN octet_length(a.payload) > c.max_payload_bytes THEN substr(a.payload, 1, 4096) ELSE a.payload END, a.fault,
            jsonb_build_array(jsonb_build_object('at', clock_timestamp(), 'error', a.fault))
        FROM arrived AS a
        CROSS JOIN mqtt.configuration AS c
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
        SELECT k.organization_id, count(*) AS accepted, count(k.fault) AS dead FROM kept AS k GROUP BY k.organization_id
    ), repeated AS (
        SELECT (SELECT count(*) FROM came) - (SELECT count(*) FROM kept) AS n
    )
    SELECT
        jsonb_strip_nulls(jsonb_build_object(
            'queued', coalesce(sum(c.accepted - c.dead), 0),
            'dead', coalesce(sum(c.dead), 0),
            'passed_over', cardinality(ingest_deliveries.topics) - coalesce(sum(c.accepted), 0) - r.n,
            'repeated', nullif(r.n, 0),
            'not_held', mqtt.not_held(owners, ingest_deliveries.integration_ids)
        )),
        array_agg(c.organization_id ORDER BY c.organization_id) FILTER (WHERE c.organization_id IS NOT NULL),
        array_agg(c.accepted ORDER BY c.organization_id) FILTER (WHERE c.organization_id IS NOT NULL),
        array_agg(c.dead ORDER BY c.organization_id) FILTER (WHERE c.organization_id IS NOT NULL)
    INTO v_counts, v_organizations, v_accepted, v_dead
    FROM repeated AS r
    LEFT JOIN counted AS c ON true
    GROUP BY r.n;
    PERFORM mqtt.count_accepted(c.organization_id, c.accepted, c.place = 1)
    FROM unnest(v_organizations, v_accepted) WITH ORDINALITY AS c (organization_id, accepted, place);
    PERFORM mqtt.count_dead(c.organization_id, now())
    FROM unnest(v_organizations, v_dead) AS c (organization_id, dead)
    CROSS JOIN LATERAL generate_series(1, c.dead);
    RETURN v_counts;
END;
$$;
COMMENT ON FUNCTION mqtt.ingest_deliveries(uuid [], uuid [], integer [], text [], bytea [], smallint [], boolean [], text [], jsonb [], text [], integer []) IS
'bridge.ingest without what comes again, with its arguments and result; owners: the organizations of integration_ids, null where this bridge does not hold the integration.';

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
    v_owners uuid [];
    v_counts jsonb;
    v_repeats integer [] := '{}';
BEGIN
    SELECT array_agg(l.organization_id ORDER BY i.number) INTO v_owners
    FROM unnest(ingest.integration_ids) WITH ORDINALITY AS i (id, number)
    LEFT JOIN mqtt.bridge_leases AS l ON l.integration_id = i.id AND l.bridge_id = ingest.bridge_id;
    IF true = ANY (ingest.retains) THEN
        v_repeats := mqtt.repeated_retained(
            v_owners, ingest.integration_ids, ingest.integration_numbers, ingest.topics, ingest.payloads, ingest.retains, ingest.content_types,
            ingest.properties
        );
    END IF;
    IF v_repeats = '{}' THEN
        RETURN mqtt.ingest_deliveries(
            v_owners, ingest.integration_ids, ingest.integration_numbers, ingest.topics, ingest.payloads, ingest.qos, ingest.retains,
            ingest.content_types, ingest.properties, ingest.faults, ingest.subscription_numbers
        );
    END IF;
    SELECT mqtt.ingest_deliveries(
        v_owners, ingest.integration_ids, coalesce(array_agg(u.number ORDER BY u.place), '{}'), coalesce(array_agg(u.topic ORDER BY u.place), '{}'),
        coalesce(array_agg(u.payload ORDER BY u.place), '{}'), coalesce(array_agg(u.qos ORDER BY u.place), '{}'),
        coalesce(array_agg(u.retain ORDER BY u.place), '{}'),
        CASE WHEN ingest.content_types IS NOT NULL THEN array_agg(u.content_type ORDER BY u.place) END,
        CASE WHEN ingest.properties IS NOT NULL THEN array_agg(u.properties ORDER BY u.place) END,
        CASE WHEN ingest.faults IS NOT NULL THEN array_agg(u.fault ORDER BY u.place) END,
        CASE WHEN ingest.subscription_numbers IS NOT NULL THEN array_agg(u.subscription_number ORDER BY u.place) END
    ) INTO v_counts
    FROM unnest(
        ingest.integration_numbers, ingest.topics, ingest.payloads, ingest.qos, ingest.retains, ingest.content_types, ingest.properties,
        ingest.faults, ingest.subscription_numbers
    ) WITH ORDINALITY AS u (number, topic, payload, qos, retain, content_type, properties, fault, subscription_number, place)
    WHERE u.place <> ALL (v_repeats);
    RETURN v_counts || jsonb_build_object('repeated', coalesce((v_counts ->> 'repeated')::integer, 0) + cardinality(v_repeats));
END;
$$;
COMMENT ON FUNCTION bridge.ingest(uuid, uuid [], integer [], text [], bytea [], smallint [], boolean [], text [], jsonb [], text [], integer []) IS
'Queues what brokers delivered, byte for byte: element i came for integration_ids[integration_numbers[i]]. What cannot be queued (an impossible topic, too large a payload, a fault '
'that the bridge names) becomes a dead letter at once; of too large a payload, that keeps the first 4,096 bytes, and the size as payload_bytes. With a UUID in the MQTT 5 user property message_id, a message that comes again is stored once, within '
'configuration.idempotency_window. subscription_numbers: for integrations with several filters, the one that the broker names, or 0 if it names none (null for '
'the others): the message names in properties.subscription_ids all that match, and of the copies of brokers that send one for each filter one is kept. What a broker has retained, and sends again, is not stored again (mqtt.repeated_retained). Acknowledge the messages to the broker only after this has been committed. Returns {"queued", "dead", "passed_over"}, and "repeated" if there were any; '
'messages for integrations that the bridge does not hold ("not_held") are passed over: they must not be acknowledged, because the bridge that holds them is to receive them.';
GRANT EXECUTE ON FUNCTION bridge.ingest(uuid, uuid [], integer [], text [], bytea [], smallint [], boolean [], text [], jsonb [], text [], integer []) TO mqtt_bridge;
COMMIT;

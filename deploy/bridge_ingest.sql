-- Deploy topicbase:bridge_ingest to pg
-- requires: bridge_integrations
-- requires: queue_message
-- requires: mqtt_dead_letters
-- requires: ledger
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE FUNCTION bridge.ingest(
    bridge_id uuid, integration_ids uuid [], integration_numbers integer [], topics text [], payloads bytea [], qos smallint [], retains boolean [],
    content_types text [] DEFAULT NULL, properties jsonb [] DEFAULT NULL, faults text [] DEFAULT NULL
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_counts jsonb;
    v_organizations uuid [];
    v_accepted integer [];
    v_dead integer [];
BEGIN
    WITH held AS (
        SELECT h.number, l.organization_id, l.integration_id
        FROM unnest(ingest.integration_ids) WITH ORDINALITY AS h (integration_id, number)
        JOIN mqtt.bridge_leases AS l ON l.integration_id = h.integration_id AND l.bridge_id = ingest.bridge_id
    ), arrived AS MATERIALIZED (
        SELECT
            h.organization_id, h.integration_id, m.topic, m.payload, m.place,
            jsonb_build_object('topic', m.topic)
            || CASE WHEN m.qos > 0 THEN jsonb_build_object('qos', m.qos) ELSE '{}' END
            || CASE WHEN m.retain THEN '{"retain": true}'::jsonb ELSE '{}' END
            || CASE WHEN m.content_type IS NULL THEN '{}' ELSE jsonb_build_object('content_type', m.content_type) END
            || CASE WHEN m.properties IS NULL THEN '{}' ELSE jsonb_build_object('properties', m.properties) END AS message,
            CASE
                WHEN m.fault IS NOT NULL THEN m.fault
                WHEN octet_length(m.payload) > c.max_payload_bytes
                    THEN format('The payload has %s bytes; this installation takes at most %s.', octet_length(m.payload), c.max_payload_bytes)
                -- What a broker tells of itself is welcome, though nobody may publish it.
                ELSE mqtt.topic_name_error(regexp_replace(m.topic, '^\$', ''))
            END AS fault
        FROM unnest(
            ingest.integration_numbers, ingest.topics, ingest.payloads, ingest.qos, ingest.retains, ingest.content_types, ingest.properties,
            ingest.faults
        ) WITH ORDINALITY AS m (number, topic, payload, qos, retain, content_type, properties, fault, place)
        JOIN held AS h ON h.number = m.number
        CROSS JOIN mqtt.configuration AS c
    ), queued AS (
        INSERT INTO pgmq.q_mqtt_messages (vt, message, organization_id, integration_id, body)
        SELECT clock_timestamp(), a.message, a.organization_id, a.integration_id, a.payload
        FROM arrived AS a
        WHERE a.fault IS NULL
        ORDER BY a.place
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
        SELECT a.organization_id, count(*) AS accepted, count(a.fault) AS dead
        FROM arrived AS a
        GROUP BY a.organization_id
    )
    SELECT
        jsonb_build_object(
            'queued', coalesce(sum(c.accepted - c.dead), 0),
            'dead', coalesce(sum(c.dead), 0),
            'passed_over', cardinality(ingest.topics) - coalesce(sum(c.accepted), 0)
        ),
        array_agg(c.organization_id ORDER BY c.organization_id),
        array_agg(c.accepted ORDER BY c.organization_id),
        array_agg(c.dead ORDER BY c.organization_id)
    INTO v_counts, v_organizations, v_accepted, v_dead
    FROM counted AS c;
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
COMMENT ON FUNCTION bridge.ingest(uuid, uuid [], integer [], text [], bytea [], smallint [], boolean [], text [], jsonb [], text []) IS
'Queues what brokers delivered, byte for byte: element i came for integration_ids[integration_numbers[i]]. What cannot be queued (an impossible topic, too large a payload, a fault '
'that the bridge names) becomes a dead letter at once. To be acknowledged to the broker only after this has been committed. Returns {"queued", "dead", "passed_over"}; '
'passed over are messages for integrations that the bridge does not hold.';
GRANT EXECUTE ON FUNCTION bridge.ingest(uuid, uuid [], integer [], text [], bytea [], smallint [], boolean [], text [], jsonb [], text []) TO mqtt_bridge;
COMMIT;

-- Deploy topicbase:bridge/ingest_plain to pg
-- requires: bridge/store_delivered
-- requires: ingest/count_messages
-- requires: ingest/message_document
-- requires: topics/names
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.not_held(owners uuid [], integration_ids uuid []) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Usually none is missing, which shows without a query.
    IF array_position(owners, NULL) IS NULL THEN
        RETURN NULL;
    END IF;
    RETURN (SELECT jsonb_agg(i.id ORDER BY i.id) FROM unnest(integration_ids, owners) AS i (id, organization_id) WHERE i.organization_id IS NULL);
END;
$$;
COMMENT ON FUNCTION mqtt.not_held(uuid [], uuid []) IS 'The integrations without an owner, as bridge.ingest returns them; null if there are none.';

CREATE OR REPLACE FUNCTION mqtt.ingest_plain(
    owners uuid [], integration_ids uuid [], integration_numbers integer [], topics text [], payloads bytea [], qos smallint [], retains boolean []
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_is_plain boolean;
    v_organizations uuid [];
    v_accepted integer [];
    v_queued integer;
    v_stored integer [];
BEGIN
    SELECT
        bool_and(k.is_plain),
        array_agg(k.organization_id) FILTER (WHERE k.organization_id IS NOT NULL),
        array_agg(k.accepted) FILTER (WHERE k.organization_id IS NOT NULL)
    INTO v_is_plain, v_organizations, v_accepted
    FROM (
        SELECT
            ingest_plain.owners[m.number] AS organization_id,
            count(*)::integer AS accepted,
            bool_and(octet_length(m.payload) <= c.max_payload_bytes AND mqtt.topic_name_reason(m.topic) IS NULL) AS is_plain
        FROM (
            SELECT unnest(ingest_plain.integration_numbers) AS number, unnest(ingest_plain.topics) AS topic, unnest(ingest_plain.payloads) AS payload
        ) AS m
        CROSS JOIN mqtt.configuration AS c
        GROUP BY ingest_plain.owners[m.number]
        ORDER BY ingest_plain.owners[m.number]
    ) AS k;
    IF NOT v_is_plain THEN
        RETURN NULL;
    END IF;
    v_stored := mqtt.store_delivered(owners, integration_ids, integration_numbers, topics, payloads, qos, retains);
    INSERT INTO pgmq.q_mqtt_messages (vt, message, organization_id, integration_id, body, place)
    SELECT
        clock_timestamp(), mqtt.message_document(m.topic, NULL, m.qos, m.retain, NULL, NULL),
        ingest_plain.owners[m.number], ingest_plain.integration_ids[m.number], m.payload,
        -- Of its own integration alone: the places of all would tell how many others came.
        row_number() OVER (PARTITION BY m.number ORDER BY m.place)
    FROM (
        SELECT
            unnest(ingest_plain.integration_numbers) AS number,
            unnest(ingest_plain.topics) AS topic,
            unnest(ingest_plain.payloads) AS payload,
            unnest(ingest_plain.qos) AS qos,
            unnest(ingest_plain.retains) AS retain,
            generate_subscripts(ingest_plain.topics, 1) AS place
    ) AS m
    WHERE ingest_plain.owners[m.number] IS NOT NULL AND m.number <> ALL (v_stored)
    ORDER BY m.place;
    v_queued := coalesce((SELECT sum(n) FROM unnest(v_accepted) AS a (n)), 0);
    PERFORM mqtt.count_accepted(c.organization_id, c.accepted, c.place = 1)
    FROM unnest(v_organizations, v_accepted) WITH ORDINALITY AS c (organization_id, accepted, place);
    RETURN jsonb_strip_nulls(jsonb_build_object(
        'queued', v_queued, 'dead', 0, 'passed_over', cardinality(ingest_plain.topics) - v_queued,
        'not_held', mqtt.not_held(ingest_plain.owners, ingest_plain.integration_ids)
    ));
END;
$$;
COMMENT ON FUNCTION mqtt.ingest_plain(uuid [], uuid [], integer [], text [], bytea [], smallint [], boolean []) IS
'The fast path of bridge.ingest, with its arguments (owners: the organizations of integration_ids, by place) and its result, for messages without properties, faults and several filters. Returns null and does nothing if one of them cannot be queued. The general path in bridge.ingest would queue the same.';
COMMIT;

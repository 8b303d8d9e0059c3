-- Deploy topicbase:bridge/ingest_plain to pg
-- requires: base/configuration
-- requires: base/wake_bridge
-- requires: ingest/ledger
-- requires: tables/bridges
-- requires: tables/queues
-- requires: topics/names
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.queue_plain(
    bridge_id uuid, integration_ids uuid [], integration_numbers integer [], topics text [], payloads bytea [], qos smallint [], retains boolean []
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    -- Whose integration_ids[i] is; null where this bridge does not hold it.
    v_owners uuid [];
    v_is_plain boolean;
    v_organizations uuid [];
    v_accepted integer [];
    v_queued integer;
BEGIN
    SELECT array_agg(l.organization_id ORDER BY i.number) INTO v_owners
    FROM unnest(queue_plain.integration_ids) WITH ORDINALITY AS i (id, number)
    LEFT JOIN mqtt.bridge_leases AS l ON l.integration_id = i.id AND l.bridge_id = queue_plain.bridge_id;
    SELECT
        bool_and(k.is_plain),
        array_agg(k.organization_id) FILTER (WHERE k.organization_id IS NOT NULL),
        array_agg(k.accepted) FILTER (WHERE k.organization_id IS NOT NULL)
    INTO v_is_plain, v_organizations, v_accepted
    FROM (
        SELECT
            v_owners[m.number] AS organization_id,
            count(*)::integer AS accepted,
            bool_and(octet_length(m.payload) <= c.max_payload_bytes AND mqtt.topic_name_error(m.topic) IS NULL) AS is_plain
        FROM (
            SELECT
                unnest(queue_plain.integration_numbers) AS number,
                unnest(queue_plain.topics) AS topic,
                unnest(queue_plain.payloads) AS payload
        ) AS m
        CROSS JOIN mqtt.configuration AS c
        GROUP BY v_owners[m.number]
        ORDER BY v_owners[m.number]
    ) AS k;
    IF NOT v_is_plain THEN
        RETURN NULL;
    END IF;
    -- In the order of the arrays, which unnest keeps.
    INSERT INTO pgmq.q_mqtt_messages (vt, message, organization_id, integration_id, body)
    SELECT
        clock_timestamp(),
        CASE
            WHEN m.retain THEN jsonb_build_object('topic', m.topic, 'retain', true)
                || CASE WHEN m.qos > 0 THEN jsonb_build_object('qos', m.qos) ELSE '{}' END
            WHEN m.qos > 0 THEN jsonb_build_object('topic', m.topic, 'qos', m.qos)
            ELSE jsonb_build_object('topic', m.topic)
        END,
        v_owners[m.number],
        queue_plain.integration_ids[m.number],
        m.payload
    FROM (
        SELECT
            unnest(queue_plain.integration_numbers) AS number,
            unnest(queue_plain.topics) AS topic,
            unnest(queue_plain.payloads) AS payload,
            unnest(queue_plain.qos) AS qos,
            unnest(queue_plain.retains) AS retain
    ) AS m
    WHERE v_owners[m.number] IS NOT NULL;
    GET DIAGNOSTICS v_queued = ROW_COUNT;
    IF v_queued > 0 THEN
        PERFORM mqtt.count_accepted(c.organization_id, c.accepted)
        FROM unnest(v_organizations, v_accepted) AS c (organization_id, accepted);
        PERFORM mqtt.wake_bridge('ingest');
    END IF;
    RETURN jsonb_build_object('queued', v_queued, 'dead', 0, 'passed_over', cardinality(queue_plain.topics) - v_queued)
        || coalesce((
            SELECT jsonb_build_object('not_held', jsonb_agg(i.id ORDER BY i.id))
            FROM unnest(queue_plain.integration_ids, v_owners) AS i (id, organization_id)
            WHERE i.organization_id IS NULL
            HAVING count(*) > 0
        ), '{}');
END;
$$;
COMMENT ON FUNCTION mqtt.queue_plain(uuid, uuid [], integer [], text [], bytea [], smallint [], boolean []) IS
'The short way of bridge.ingest, with its arguments and answer: for messages without properties, faults and several filters. Null, with nothing done, when one of them cannot be queued.';
COMMIT;

-- Deploy topicbase:process/number_topics to pg
-- requires: base/configuration
-- requires: process/batch_types
-- requires: tables/topic_numbers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.register_topics(topics mqtt.numbered_topic []) RETURNS mqtt.numbered_topic []
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
-- Further settings are those of mqtt.store_messages, which calls it.
AS $$
DECLARE
    v_all mqtt.numbered_topic [];
BEGIN
    WITH topic AS MATERIALIZED (
        SELECT t.* FROM unnest(topics) AS t
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
    )
    SELECT array_agg(
        ROW(
            t.organization_id, t.integration_id, t.topic, t.external_id, t.message_type, t.topic_role, t.device_id, t.organization,
            coalesce(t.number, n.number), t.is_current, t.is_by_pattern
        )::mqtt.numbered_topic
    ) INTO v_all
    FROM topic AS t
    LEFT JOIN new_topic AS n
        ON t.number IS NULL AND n.integration_id = t.integration_id AND n.topic = t.topic AND n.device_id IS NOT DISTINCT FROM t.device_id
            AND n.message_type IS NOT DISTINCT FROM t.message_type AND n.role = t.topic_role;
    RETURN v_all;
END;
$$;
COMMENT ON FUNCTION mqtt.register_topics(mqtt.numbered_topic []) IS
'Gives topics without a number one, as far as configuration.max_topics leaves room; returns all. A part of mqtt.store_messages.';

CREATE OR REPLACE FUNCTION mqtt.number_topics(samples mqtt.arrived_sample [], devices mqtt.seen_device [], is_deferred boolean) RETURNS mqtt.numbered_topic []
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
-- Further settings are those of mqtt.store_messages, which calls it.
AS $$
DECLARE
    v_topics mqtt.numbered_topic [];
    v_is_complete boolean;
    v_is_current boolean;
BEGIN
    SELECT
        array_agg(
            ROW(
                w.organization_id, w.integration_id, w.topic, w.external_id, w.message_type, w.topic_role, d.id, coalesce(o.number, 0), t.number,
                t.is_current, w.is_by_pattern
            )::mqtt.numbered_topic
        ), bool_and(t.number IS NOT NULL), bool_and(t.is_current OR NOT w.is_by_pattern)
    INTO v_topics, v_is_complete, v_is_current
    FROM (
        SELECT x.organization_id, x.integration_id, x.topic, x.external_id, x.message_type, x.topic_role, bool_and(x.sample IS NULL) AS is_by_pattern
        FROM unnest(samples) AS x
        GROUP BY x.organization_id, x.integration_id, x.topic, x.external_id, x.message_type, x.topic_role
    ) AS w
    LEFT JOIN unnest(devices) AS d USING (integration_id, external_id)
    CROSS JOIN LATERAL mqtt.topic_number(w.organization_id, w.integration_id, w.topic, d.id, w.message_type, w.topic_role) AS t
    -- None where the organization was deleted meanwhile.
    LEFT JOIN mqtt.organizations AS o ON o.id = w.organization_id;
    IF NOT v_is_complete THEN
        v_topics := mqtt.register_topics(v_topics);
    END IF;
    IF NOT (v_is_complete AND v_is_current OR is_deferred) THEN
        -- A device that is deleted meanwhile is locked by now, unless its update is deferred.
        UPDATE mqtt.topics AS t
        SET is_current = true, external_id = n.external_id
        FROM unnest(v_topics) AS n
        WHERE t.organization_id = n.organization_id AND t.number = n.number AND n.is_by_pattern AND NOT t.is_current;
    END IF;
    RETURN v_topics;
END;
$$;
COMMENT ON FUNCTION mqtt.number_topics(mqtt.arrived_sample [], mqtt.seen_device [], boolean) IS
'The topics of a batch with their numbers, new ones being registered; marks what they mean as current. A part of mqtt.store_messages.';
COMMIT;

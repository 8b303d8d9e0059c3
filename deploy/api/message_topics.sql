-- Deploy topicbase:api/message_topics to pg
-- requires: tables/pack_rows
-- requires: topics/filters
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.topics_of(organization_ids uuid [], integration_id uuid, device_id uuid, topic text, filter text) RETURNS integer []
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN ARRAY(
        SELECT t.number
        FROM mqtt.topics AS t
        CROSS JOIN mqtt.topic_filter_levels(topics_of.filter) AS l
        WHERE t.organization_id = ANY (organization_ids) AND (topics_of.integration_id IS NULL OR t.integration_id = topics_of.integration_id)
            AND (topics_of.device_id IS NULL OR t.device_id = topics_of.device_id) AND (topics_of.topic IS NULL OR t.topic = topics_of.topic)
            AND (topics_of.filter IS NULL OR mqtt.matched_levels(t.topic, l.topic_like, l.topic_levels) IS NOT NULL)
    );
END;
$$;
COMMENT ON FUNCTION mqtt.topics_of(uuid [], uuid, uuid, text, text) IS 'Numbers of the topics that match all that is given.';

CREATE OR REPLACE FUNCTION mqtt.range_of_id(organizations integer [], id uuid, OUT first_at timestamptz, OUT last_at timestamptz)
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SELECT coalesce(min(x.first_at), mqtt.message_id_time(range_of_id.id)), coalesce(max(x.last_at), mqtt.message_id_time(range_of_id.id))
    INTO first_at, last_at
    FROM (
        SELECT h.received_at AS first_at, h.received_at AS last_at
        FROM mqtt.history AS h
        WHERE h.organization = ANY (organizations) AND h.flags & 16 = 16 AND h.id = range_of_id.id
        UNION ALL
        SELECT p.first_received_at, p.last_received_at
        FROM mqtt.packs AS p
        WHERE p.organization = ANY (organizations) AND p.topic = ANY (mqtt.packed_topics(organizations, range_of_id.id))
            AND range_of_id.id = ANY (p.given_ids)
    ) AS x;
END;
$$;
COMMENT ON FUNCTION mqtt.range_of_id(integer [], uuid) IS
'When messages with this id were received: a client''s own id is looked up, and one of ours holds it; nulls when it is neither.';
GRANT EXECUTE ON FUNCTION mqtt.topics_of(uuid [], uuid, uuid, text, text), mqtt.range_of_id(integer [], uuid) TO authenticated, service_role;
COMMIT;

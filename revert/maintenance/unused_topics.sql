-- Deploy topicbase:maintenance/unused_topics to pg
-- requires: base/locks
-- requires: tables/packs
-- requires: tables/reading_rows
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.is_packed_topic(organization_id uuid, topic integer) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
BEGIN
    -- A statement of its own, so that an archive (packaging/citus) is asked for one topic of one organization.
    RETURN EXISTS (
        SELECT
        FROM mqtt.packs AS p
        WHERE p.topic = is_packed_topic.topic
            AND p.organization = (SELECT o.number FROM mqtt.organizations AS o WHERE o.id = is_packed_topic.organization_id)
    );
END;
$$;
COMMENT ON FUNCTION mqtt.is_packed_topic(uuid, integer) IS 'Whether packed messages have this topic.';

CREATE OR REPLACE FUNCTION mqtt.remove_topics(organization_id uuid, numbers integer []) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
DECLARE
    v_removed integer;
    v_most CONSTANT integer := (SELECT c.max_topics FROM mqtt.configuration AS c);
BEGIN
    -- Whoever stores messages has one of these locks, and looks topics up after taking it.
    IF NOT pg_try_advisory_xact_lock(mqtt.processing_lock(), hashtext(organization_id::text))
        OR NOT pg_try_advisory_xact_lock(mqtt.topics_lock(), hashtext(organization_id::text)) THEN
        RETURN 0;
    END IF;
    DELETE FROM mqtt.topics AS t
    WHERE t.organization_id = remove_topics.organization_id AND t.number = ANY (numbers)
        AND NOT EXISTS (SELECT FROM mqtt.history AS h WHERE h.topic = t.number)
        AND NOT mqtt.is_packed_topic(t.organization_id, t.number)
        AND NOT EXISTS (SELECT FROM mqtt.reading_rows AS r WHERE r.topic = t.number);
    GET DIAGNOSTICS v_removed = ROW_COUNT;
    IF v_removed > 0 THEN
        UPDATE mqtt.topic_counts AS c SET topics = c.topics - v_removed WHERE c.organization_id = remove_topics.organization_id;
    END IF;
    UPDATE mqtt.organizations AS o
    SET has_all_topics = false
    WHERE o.id = remove_topics.organization_id AND o.has_all_topics
        AND (SELECT c.topics FROM mqtt.topic_counts AS c WHERE c.organization_id = remove_topics.organization_id) < v_most;
    RETURN v_removed;
END;
$$;
COMMENT ON FUNCTION mqtt.remove_topics(uuid, integer []) IS
'Removes those of an organization''s topics that no stored message has; returns how many: 0 also while somebody stores messages of the organization.';

CREATE OR REPLACE FUNCTION mqtt.remove_unused_topics(most integer DEFAULT 200) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
DECLARE
    -- From anywhere on: so, each is looked at now and then.
    v_start CONSTANT integer := floor(random() * (SELECT s.last_value FROM mqtt.topic_numbers AS s))::integer;
BEGIN
    RETURN (
        SELECT coalesce(sum(mqtt.remove_topics(x.organization_id, x.numbers)), 0)
        FROM (
            SELECT t.organization_id, array_agg(t.number) AS numbers
            FROM (
                (SELECT t.* FROM mqtt.topics AS t WHERE t.number >= v_start ORDER BY t.number LIMIT most)
                UNION
                -- Those of organizations that may use no further ones are not to wait for chance.
                (
                    SELECT n.*
                    FROM mqtt.organizations AS o
                    CROSS JOIN LATERAL (
                        SELECT y.* FROM mqtt.topics AS y WHERE y.organization_id = o.id AND y.number >= v_start ORDER BY y.number LIMIT most
                    ) AS n
                    WHERE o.has_all_topics
                    LIMIT 10 * most
                )
            ) AS t
            WHERE t.created_at < now() - interval '1 hour' AND NOT EXISTS (SELECT FROM mqtt.history AS h WHERE h.topic = t.number)
                AND NOT mqtt.is_packed_topic(t.organization_id, t.number)
            GROUP BY t.organization_id
        ) AS x
    );
EXCEPTION
    -- Who knows what an archive has that cannot be reached.
    WHEN connection_exception THEN
        RAISE LOG 'topicbase: no unused topics are removed: %', SQLERRM;
        RETURN 0;
END;
$$;
COMMENT ON FUNCTION mqtt.remove_unused_topics(integer) IS
'Looks at that many topics (and at as many of each organization with configuration.max_topics of them) and removes those that no stored message has any longer; returns how many.';
COMMIT;

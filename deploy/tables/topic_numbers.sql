-- Deploy topicbase:tables/topic_numbers to pg
-- requires: tables/topics
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
-- IS NOT DISTINCT FROM, which no index serves: a plan made while there were few topics would look for the organization's, and go on reading all of them.
CREATE OR REPLACE FUNCTION mqtt.topic_number(
    organization_id uuid, integration_id uuid, topic text, device_id uuid, message_type text, role text
) RETURNS TABLE (number integer, is_current boolean)
LANGUAGE sql STABLE SECURITY INVOKER ROWS 1
BEGIN ATOMIC
    SELECT min(t.number), bool_or(t.is_current)
    FROM mqtt.topics AS t
    WHERE t.organization_id IS NOT DISTINCT FROM topic_number.organization_id AND t.integration_id = topic_number.integration_id
        AND hashtextextended(t.topic, 0) = hashtextextended(topic_number.topic, 0) AND left(t.topic, 200) = left(topic_number.topic, 200)
        AND t.topic = topic_number.topic AND t.device_id IS NOT DISTINCT FROM topic_number.device_id
        AND t.message_type IS NOT DISTINCT FROM topic_number.message_type AND t.role = topic_number.role;
END;
COMMENT ON FUNCTION mqtt.topic_number(uuid, uuid, text, uuid, text, text) IS
'The number of a topic with this meaning; null where it has none yet. A part of the statement that asks.';

CREATE OR REPLACE FUNCTION mqtt.is_topic_known(organization_id uuid, integration_id uuid, topic text) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN EXISTS (
        SELECT
        FROM mqtt.topics AS t
        WHERE t.organization_id IS NOT DISTINCT FROM is_topic_known.organization_id AND t.integration_id = is_topic_known.integration_id
            AND hashtextextended(t.topic, 0) = hashtextextended(is_topic_known.topic, 0) AND left(t.topic, 200) = left(is_topic_known.topic, 200)
            AND t.topic = is_topic_known.topic
    );
END;
$$;
COMMENT ON FUNCTION mqtt.is_topic_known(uuid, uuid, text) IS 'Whether an integration has used this topic before, with whatever meaning.';

CREATE OR REPLACE FUNCTION mqtt.current_topic(organization_id uuid, integration_id uuid, topic text) RETURNS TABLE (number integer)
LANGUAGE sql STABLE SECURITY INVOKER ROWS 1
BEGIN ATOMIC
    SELECT CASE count(*) WHEN 1 THEN min(t.number) END
    FROM mqtt.topics AS t
    WHERE t.organization_id IS NOT DISTINCT FROM current_topic.organization_id AND t.integration_id = current_topic.integration_id
        AND hashtextextended(t.topic, 0) = hashtextextended(current_topic.topic, 0) AND left(t.topic, 200) = left(current_topic.topic, 200)
        AND t.topic = current_topic.topic AND t.is_current;
END;
COMMENT ON FUNCTION mqtt.current_topic(uuid, uuid, text) IS
'The number under which messages to a topic are stored now; null where the worker is to find out. A part of the statement that asks.';
COMMIT;

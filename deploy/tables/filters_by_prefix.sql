-- Deploy topicbase:tables/filters_by_prefix to pg
-- requires: tables/mqtt_subscriptions
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.filters_by_prefix(organization_id uuid, integration_id uuid, prefix text, for_callbacks boolean)
RETURNS TABLE (id uuid, topic text, number integer, granted_qos smallint, no_local boolean, active_at timestamptz)
LANGUAGE sql STABLE SECURITY INVOKER ROWS 2
BEGIN ATOMIC
    SELECT f.id, f.topic, f.number, f.granted_qos, f.no_local, f.active_at
    FROM mqtt.mqtt_subscriptions AS f
    WHERE f.organization_id = filters_by_prefix.organization_id AND f.integration_id = filters_by_prefix.integration_id
        AND f.prefix = filters_by_prefix.prefix AND NOT f.is_paused
        AND CASE WHEN for_callbacks THEN f.callback_url IS NOT NULL AND f.callback_gone_at IS NULL ELSE f.status = 'active' END
    -- Looked up for each prefix, never all filters joined first.
    OFFSET 0;
END;
COMMENT ON FUNCTION mqtt.filters_by_prefix(uuid, uuid, text, boolean) IS
'Topic filters with that prefix (one of mqtt.topic_prefixes of a topic) that are held at the broker, or that have a callback: those that a message is then tried with. for_callbacks is a literal, so that the planner finds the index. A part of the statement that asks.';
COMMIT;

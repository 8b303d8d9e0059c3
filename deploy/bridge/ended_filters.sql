-- Deploy topicbase:bridge/ended_filters to pg
-- requires: tables/bridges
-- requires: tables/ended_filters
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION bridge.ended_filters(bridge_id uuid) RETURNS TABLE (integration_id uuid, topic text)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT e.integration_id, e.topic
    FROM mqtt.bridge_leases AS l
    JOIN mqtt.ended_filters AS e ON e.organization_id = l.organization_id AND e.integration_id = l.integration_id
    WHERE l.bridge_id = ended_filters.bridge_id;
$$;
COMMENT ON FUNCTION bridge.ended_filters(uuid) IS
'Topic filters of a bridge''s integrations that their sessions at the brokers may still have, though nobody wants them: to be asked for after bridge.subscriptions. '
'The bridge unsubscribes, and says so by bridge.forget_filters.';
GRANT EXECUTE ON FUNCTION bridge.ended_filters(uuid) TO mqtt_bridge;

CREATE OR REPLACE FUNCTION bridge.forget_filters(bridge_id uuid, integration_ids uuid [], topics text []) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    DELETE FROM mqtt.ended_filters AS e
    USING unnest(forget_filters.integration_ids, forget_filters.topics) AS f (integration_id, topic), mqtt.bridge_leases AS l
    WHERE l.bridge_id = forget_filters.bridge_id AND l.integration_id = f.integration_id
        AND e.organization_id = l.organization_id AND e.integration_id = l.integration_id AND e.topic = f.topic;
$$;
COMMENT ON FUNCTION bridge.forget_filters(uuid, uuid [], text []) IS
'The brokers no longer have topics[i] for integration_ids[i]. Those of integrations that the bridge no longer holds are passed over: another holder unsubscribes once more.';
GRANT EXECUTE ON FUNCTION bridge.forget_filters(uuid, uuid [], text []) TO mqtt_bridge;
COMMIT;

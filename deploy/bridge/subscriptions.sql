-- Deploy topicbase:bridge/subscriptions to pg
-- requires: tables/bridges
-- requires: tables/integration_activity_log
-- requires: tables/mqtt_subscriptions
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION bridge.subscriptions(bridge_id uuid, known_stamp text DEFAULT NULL)
RETURNS TABLE (stamp text, integration_id uuid, id uuid, topic text, qos smallint, no_local boolean, retain_handling smallint, number integer)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    WITH held AS (
        SELECT s.integration_id, s.id, s.topic, s.qos, s.no_local, s.retain_handling, s.number, s.active_at
        FROM mqtt.bridge_leases AS l
        JOIN mqtt.mqtt_subscriptions AS s ON s.organization_id = l.organization_id AND s.integration_id = l.integration_id
        WHERE l.bridge_id = subscriptions.bridge_id AND NOT s.is_paused
    ), stamped AS (
        SELECT coalesce(md5(string_agg((h.integration_id, h.id, h.topic, h.qos, h.no_local, h.retain_handling, h.number)::text, E'\n' ORDER BY h.id)), '') AS stamp FROM held AS h
    )
    SELECT st.stamp, h.integration_id, h.id, h.topic, h.qos, h.no_local, h.retain_handling, h.number
    FROM stamped AS st
    LEFT JOIN held AS h ON true
    WHERE st.stamp IS DISTINCT FROM subscriptions.known_stamp
    -- The order of subscribing: of several filters that a message matches, the one whose copy is kept comes first.
    ORDER BY h.active_at, h.number;
$$;
COMMENT ON FUNCTION bridge.subscriptions(uuid, text) IS
'Topic filters to subscribe to for all integrations of a bridge; no row if nothing differs from known_stamp, and one row with only the stamp if there are none.';
GRANT EXECUTE ON FUNCTION bridge.subscriptions(uuid, text) TO mqtt_bridge;

CREATE OR REPLACE FUNCTION bridge.subscription_results(bridge_id uuid, ids uuid [], granted smallint [], reasons text []) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_changed integer;
BEGIN
    WITH result AS (
        SELECT r.id, CASE WHEN r.granted < 3 THEN r.granted END AS granted_qos, left(r.reason, 500) AS reason
        FROM unnest(subscription_results.ids, subscription_results.granted, subscription_results.reasons) AS r (id, granted, reason)
    ), changed AS (
        UPDATE mqtt.mqtt_subscriptions AS s
        SET status = CASE WHEN r.granted_qos IS NULL THEN 'error' ELSE 'active' END,
            status_detail = CASE
                WHEN r.granted_qos IS NULL THEN r.reason
                WHEN r.granted_qos < s.qos THEN format('The broker grants QoS %s where QoS %s was asked for.', r.granted_qos, s.qos)
            END,
            granted_qos = r.granted_qos,
            active_at = CASE WHEN s.status = 'active' THEN s.active_at ELSE clock_timestamp() END
        FROM result AS r
        JOIN mqtt.bridge_leases AS l ON l.bridge_id = subscription_results.bridge_id
        WHERE s.id = r.id AND s.integration_id = l.integration_id AND s.organization_id = l.organization_id
            AND (s.status, s.granted_qos, s.status_detail) IS DISTINCT FROM (
                CASE WHEN r.granted_qos IS NULL THEN 'error' ELSE 'active' END,
                r.granted_qos,
                CASE
                    WHEN r.granted_qos IS NULL THEN r.reason
                    WHEN r.granted_qos < s.qos THEN format('The broker grants QoS %s where QoS %s was asked for.', r.granted_qos, s.qos)
                END
            )
        RETURNING s.organization_id, s.integration_id, s.id, s.topic, s.status, s.status_detail
    ), logged AS (
        INSERT INTO mqtt.integration_activity_log (organization_id, integration_id, activity_type, status, error_message, details)
        SELECT
            c.organization_id, c.integration_id,
            CASE c.status WHEN 'active' THEN 'subscription_active' ELSE 'subscription_refused' END,
            CASE c.status WHEN 'active' THEN 'success' ELSE 'failed' END,
            CASE c.status WHEN 'error' THEN c.status_detail END,
            jsonb_build_object('subscription_id', c.id, 'topic', c.topic)
        FROM changed AS c
    )
    SELECT count(*) INTO v_changed FROM changed;
    RETURN v_changed;
END;
$$;
COMMENT ON FUNCTION bridge.subscription_results(uuid, uuid [], smallint [], text []) IS
'What brokers answered to SUBSCRIBE: the granted QoS, or a reason code of 128 and more with the reason in words; returns how many subscriptions changed.';
GRANT EXECUTE ON FUNCTION bridge.subscription_results(uuid, uuid [], smallint [], text []) TO mqtt_bridge;

CREATE OR REPLACE FUNCTION bridge.integration_states(bridge_id uuid, integration_ids uuid [], states text [], details text []) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_changed integer;
BEGIN
    WITH changed AS (
        UPDATE mqtt.device_integrations AS i
        SET status = r.state,
            status_detail = CASE r.state WHEN 'error' THEN left(r.detail, 500) END,
            status_changed_at = CASE WHEN i.status = r.state THEN i.status_changed_at ELSE clock_timestamp() END
        FROM unnest(integration_states.integration_ids, integration_states.states, integration_states.details) AS r (id, state, detail)
        JOIN mqtt.bridge_leases AS l ON l.integration_id = r.id AND l.bridge_id = integration_states.bridge_id
        WHERE i.organization_id = l.organization_id AND i.id = r.id AND i.status IN ('active', 'error') AND r.state IN ('active', 'error')
            AND (i.status, i.status_detail) IS DISTINCT FROM (r.state, CASE r.state WHEN 'error' THEN left(r.detail, 500) END)
        RETURNING i.organization_id, i.id, i.status, i.status_detail
    ), logged AS (
        INSERT INTO mqtt.integration_activity_log (organization_id, integration_id, activity_type, status, error_message)
        SELECT
            c.organization_id, c.id,
            CASE c.status WHEN 'active' THEN 'broker_connected' ELSE 'broker_unreachable' END,
            CASE c.status WHEN 'active' THEN 'success' ELSE 'failed' END,
            c.status_detail
        FROM changed AS c
    )
    SELECT count(*) INTO v_changed FROM changed;
    RETURN v_changed;
END;
$$;
COMMENT ON FUNCTION bridge.integration_states(uuid, uuid [], text [], text []) IS
'Records whether brokers can be reached: active, or error with the reason. Writes and logs only what changed; an integration that is switched off stays switched off.';
GRANT EXECUTE ON FUNCTION bridge.integration_states(uuid, uuid [], text [], text []) TO mqtt_bridge;
COMMIT;

-- Deploy topicbase:bridge/mosquitto_accounts to pg
-- requires: brokers/access_rules
-- requires: brokers/broker_integrations
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION bridge.mosquitto_accounts(known_stamp text DEFAULT NULL)
RETURNS TABLE (stamp text, next_change_at timestamptz, passwords text, acl text)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    WITH valid AS MATERIALIZED (
        SELECT c.username, c.mosquitto_hash, c.expires_at, r.rules
        FROM mqtt.mqtt_credentials AS c
        JOIN mqtt.broker_integrations AS i ON i.organization_id = c.organization_id AND i.id = c.integration_id
        CROSS JOIN LATERAL (
            SELECT coalesce(string_agg(format(E'topic %s %s\n', x.access, x.filter), '' ORDER BY x.access, x.filter), '') AS rules
            FROM (SELECT CASE a.action WHEN 'publish' THEN 'write' ELSE 'read' END AS access, a.filter FROM mqtt.access_rules(c) AS a) AS x
        ) AS r
        WHERE i.is_hosted AND i.is_on AND i.is_heard
            AND c.revoked_at IS NULL AND (c.expires_at IS NULL OR c.expires_at > clock_timestamp())
    ), stamped AS (
        SELECT
            coalesce(md5(string_agg(v.username || ' ' || v.mosquitto_hash || ' ' || v.rules, E'\n' ORDER BY v.username)), '') AS stamp,
            min(v.expires_at) AS next_change_at
        FROM valid AS v
    )
    SELECT
        s.stamp,
        s.next_change_at,
        CASE WHEN s.stamp IS DISTINCT FROM known_stamp
            THEN (SELECT coalesce(string_agg(format(E'%s:%s\n', v.username, v.mosquitto_hash), '' ORDER BY v.username), '') FROM valid AS v) END,
        CASE WHEN s.stamp IS DISTINCT FROM known_stamp
            THEN (SELECT coalesce(string_agg(format(E'user %s\n%s\n', v.username, v.rules), '' ORDER BY v.username), '') FROM valid AS v) END
    FROM stamped AS s;
$$;
COMMENT ON FUNCTION bridge.mosquitto_accounts(text) IS
'Lines of Mosquitto''s password and ACL files for all valid credentials of hosted integrations, null if known_stamp is still current; next_change_at is when the next one expires. '
'Rules are fully expanded: in Mosquitto''s patterns, a client could choose what the placeholders stand for. An integration''s accounts wait until the broker has granted the first of its subscriptions.';
GRANT EXECUTE ON FUNCTION bridge.mosquitto_accounts(text) TO mqtt_bridge;
COMMIT;

-- Deploy topicbase:bridge/mosquitto_accounts to pg
-- requires: base/configuration
-- requires: brokers/broker_integrations
-- requires: brokers/written_rules
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION bridge.mosquitto_accounts(known_stamp text DEFAULT NULL)
RETURNS TABLE (stamp text, next_change_at timestamptz, logins bigint, access text)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    WITH limits AS (
        SELECT c.max_login_subscriptions, format(E'topicbase-access\t1\t%s\t%s\t\n', c.max_retained_messages, c.max_retained_bytes) AS header
        FROM mqtt.configuration AS c
    ), heard AS MATERIALIZED (
        SELECT i.organization_id, i.id
        FROM mqtt.broker_integrations AS i
        WHERE i.is_hosted AND i.is_on AND i.is_heard
    ), valid AS MATERIALIZED (
        SELECT
            c.username,
            least(c.expires_at, p.ends_at) AS changes_at,
            concat_ws(
                E'\t', c.username, c.client_id, l.max_login_subscriptions,
                encode(c.secret_salt, 'hex') || ':' || encode(c.secret_hash, 'hex')
                || CASE WHEN p.ends_at IS NULL THEN '' ELSE ',' || encode(c.previous_salt, 'hex') || ':' || encode(c.previous_hash, 'hex') END,
                nullif(c.written_rules, '')
            ) || E'\t\n' AS line
        FROM mqtt.mqtt_credentials AS c
        JOIN heard AS i ON i.organization_id = c.organization_id AND i.id = c.integration_id
        CROSS JOIN limits AS l
        CROSS JOIN LATERAL (
            SELECT CASE WHEN c.previous_until > clock_timestamp() AND c.previous_hash IS NOT NULL THEN c.previous_until END AS ends_at
        ) AS p
        WHERE c.revoked_at IS NULL AND (c.expires_at IS NULL OR c.expires_at > clock_timestamp())
    ), written AS MATERIALIZED (
        SELECT
            count(*) AS logins,
            min(v.changes_at) AS next_change_at,
            (SELECT l.header FROM limits AS l) || coalesce(string_agg(v.line, '' ORDER BY v.username COLLATE "C"), '') AS access
        FROM valid AS v
    )
    SELECT s.stamp, w.next_change_at, w.logins, CASE WHEN s.stamp IS DISTINCT FROM known_stamp THEN w.access END
    FROM written AS w
    CROSS JOIN LATERAL (SELECT md5(w.access) AS stamp) AS s;
$$;
COMMENT ON FUNCTION bridge.mosquitto_accounts(text) IS
'Mosquitto''s access file (mosquitto/access.c describes it) with all valid credentials of hosted integrations, without the bridge''s own account and the last line; null if known_stamp is still current. '
'next_change_at is when the next credential, or password before a rotation, ends. An integration''s credentials wait until the broker has granted the first of its subscriptions.';
GRANT EXECUTE ON FUNCTION bridge.mosquitto_accounts(text) TO mqtt_bridge;
COMMIT;

-- Deploy topicbase:brokers/vernemq_view to pg
-- requires: brokers/logins
-- requires: brokers/view_rules
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
-- VerneMQ's server-side method calls crypt(), by that name alone.
SELECT n.nspname AS schema, NOT pg_catalog.has_schema_privilege('vernemq_reader', n.oid, 'usage') AS is_closed
FROM pg_catalog.pg_extension AS e
INNER JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace
WHERE e.extname = 'pgcrypto'
\gset pgcrypto_
\if :pgcrypto_is_closed
    GRANT USAGE ON SCHEMA :"pgcrypto_schema" TO vernemq_reader;
\endif
SELECT pg_catalog.set_config('topicbase.pgcrypto_schema', :'pgcrypto_schema', true) AS schema \gset pgcrypto_
DO $$
BEGIN
    EXECUTE format(
        'ALTER ROLE vernemq_reader IN DATABASE %I SET search_path = broker, %I',
        pg_catalog.current_database(), pg_catalog.current_setting('topicbase.pgcrypto_schema')
    );
END;
$$;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE VIEW broker.vmq_auth_acl WITH (security_barrier = true) AS
SELECT
    ''::text AS mountpoint, n.client_id, c.username, c.bcrypt_hash AS password,
    coalesce(r.publish_acl, '[]'::json) AS publish_acl, coalesce(r.subscribe_acl, '[]'::json) AS subscribe_acl
FROM mqtt.mqtt_credentials AS c
INNER JOIN mqtt.broker_integrations AS i ON i.organization_id = c.organization_id AND i.id = c.integration_id
CROSS JOIN LATERAL unnest(mqtt.client_ids(c)) AS n (client_id)
CROSS JOIN LATERAL (
    SELECT
        json_agg(json_build_object('pattern', a.filter) ORDER BY a.filter) FILTER (WHERE a.action = 'publish') AS publish_acl,
        -- VerneMQ matches the filter of a subscription level by level, like a topic, and cannot express "exactly this filter".
        json_agg(json_build_object('pattern', a.filter) ORDER BY a.filter)
            FILTER (WHERE a.action = 'subscribe' AND NOT mqtt.admits_hash(a.filter)) AS subscribe_acl
    FROM mqtt.access_rules(c) AS a
    WHERE NOT mqtt.has_placeholder(a.filter)
) AS r
WHERE i.is_hosted AND i.is_on AND i.is_heard AND mqtt.is_valid_now(c);
COMMENT ON VIEW broker.vmq_auth_acl IS 'The devices that may log in now and what they may do, as VerneMQ''s PostgreSQL script (vmq_diversity, auth/postgres.lua) reads it.';
COMMENT ON COLUMN broker.vmq_auth_acl.mountpoint IS 'Always the default one';
COMMENT ON COLUMN broker.vmq_auth_acl.client_id IS 'An MQTT client id that it may have: its own, and that of a connection test';
COMMENT ON COLUMN broker.vmq_auth_acl.username IS 'Username';
COMMENT ON COLUMN broker.vmq_auth_acl.password IS 'bcrypt, $2a$';
COMMENT ON COLUMN broker.vmq_auth_acl.publish_acl IS 'Array of {"pattern": filter} to publish to';
COMMENT ON COLUMN broker.vmq_auth_acl.subscribe_acl IS 'Array of {"pattern": filter} to subscribe to, without filters that end in +, for which VerneMQ would also allow #';
GRANT SELECT ON broker.vmq_auth_acl TO vernemq_reader;
-- As in brokers/view_rules.
GRANT EXECUTE ON FUNCTION mqtt.client_ids(mqtt.mqtt_credentials) TO vernemq_reader;
COMMIT;

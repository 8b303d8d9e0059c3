-- Deploy topicbase:brokers/emqx_views to pg
-- requires: brokers/logins
-- requires: brokers/view_rules
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE VIEW broker.emqx_user WITH (security_barrier = true) AS
SELECT c.username, n.client_id, c.bcrypt_hash AS password_hash, ''::text AS salt, false AS is_superuser
FROM mqtt.mqtt_credentials AS c
INNER JOIN mqtt.broker_integrations AS i ON i.organization_id = c.organization_id AND i.id = c.integration_id
CROSS JOIN LATERAL unnest(mqtt.client_ids(c)) AS n (client_id)
WHERE i.is_hosted AND i.is_on AND i.is_heard AND mqtt.is_valid_now(c);
COMMENT ON VIEW broker.emqx_user IS 'The devices that may log in now, for EMQX''s PostgreSQL authenticator with password_hash_algorithm bcrypt.';
COMMENT ON COLUMN broker.emqx_user.username IS 'Username';
COMMENT ON COLUMN broker.emqx_user.client_id IS 'An MQTT client id that it may have: its own, and that of a connection test';
COMMENT ON COLUMN broker.emqx_user.password_hash IS 'bcrypt, $2a$';
COMMENT ON COLUMN broker.emqx_user.salt IS 'Empty: a bcrypt hash includes its salt';
COMMENT ON COLUMN broker.emqx_user.is_superuser IS 'Never';
GRANT SELECT ON broker.emqx_user TO emqx_reader;

CREATE OR REPLACE VIEW broker.emqx_acl WITH (security_barrier = true) AS
-- First of all, a session that outlives its credential is denied everything.
SELECT c.username, c.client_id, 'deny' AS permission, 'all' AS action, '#' AS topic, '0,1,2' AS qos, 'all' AS retain, 0 AS position
FROM mqtt.mqtt_credentials AS c
INNER JOIN mqtt.broker_integrations AS i ON i.organization_id = c.organization_id AND i.id = c.integration_id
WHERE i.is_hosted AND NOT (i.is_on AND i.is_heard AND mqtt.is_valid_now(c))
UNION ALL
-- EMQX matches the filter of a subscription level by level, like a topic: it would let a/+ allow a/#.
SELECT
    c.username, c.client_id, 'allow', a.action,
    CASE WHEN a.action = 'subscribe' AND mqtt.admits_hash(a.filter) THEN 'eq ' ELSE '' END || a.filter,
    '0,1,2', 'all', 1
FROM mqtt.mqtt_credentials AS c
INNER JOIN mqtt.broker_integrations AS i ON i.organization_id = c.organization_id AND i.id = c.integration_id
CROSS JOIN LATERAL mqtt.access_rules(c) AS a
WHERE i.is_hosted AND i.is_on AND i.is_heard AND mqtt.is_valid_now(c) AND NOT mqtt.has_placeholder(a.filter) AND NOT starts_with(a.filter, 'eq ')
UNION ALL
SELECT c.username, c.client_id, 'deny', 'all', '#', '0,1,2', 'all', 2
FROM mqtt.mqtt_credentials AS c
INNER JOIN mqtt.broker_integrations AS i ON i.organization_id = c.organization_id AND i.id = c.integration_id
WHERE i.is_hosted;
COMMENT ON VIEW broker.emqx_acl IS
'What each device may do, for EMQX''s PostgreSQL authorizer. EMQX uses the first row that matches, so ORDER BY position: denials of ended credentials, then what is allowed, then a denial of everything else.';
COMMENT ON COLUMN broker.emqx_acl.username IS 'Username';
COMMENT ON COLUMN broker.emqx_acl.client_id IS 'The only MQTT client id that it may have';
COMMENT ON COLUMN broker.emqx_acl.permission IS 'allow or deny';
COMMENT ON COLUMN broker.emqx_acl.action IS 'publish, subscribe or all';
COMMENT ON COLUMN broker.emqx_acl.topic IS 'Topic filter, written out; "eq <filter>" allows exactly that filter, not those within it';
COMMENT ON COLUMN broker.emqx_acl.qos IS 'All';
COMMENT ON COLUMN broker.emqx_acl.retain IS 'Retained or not';
COMMENT ON COLUMN broker.emqx_acl.position IS 'The order in which EMQX must see the rows';
GRANT SELECT ON broker.emqx_acl TO emqx_reader;
-- As in brokers/view_rules.
GRANT EXECUTE ON FUNCTION mqtt.client_ids(mqtt.mqtt_credentials) TO emqx_reader;
COMMIT;

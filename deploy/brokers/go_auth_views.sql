-- Deploy topicbase:brokers/go_auth_views to pg
-- requires: brokers/broker_integrations
-- requires: brokers/view_rules
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE VIEW broker.go_auth_user WITH (security_barrier = true) AS
SELECT c.username, 'PBKDF2$sha512' || substr(c.mosquitto_hash, 3) AS password_hash, 0 AS is_superuser
FROM mqtt.mqtt_credentials AS c
INNER JOIN mqtt.broker_integrations AS i ON i.organization_id = c.organization_id AND i.id = c.integration_id
WHERE i.is_hosted AND i.is_on AND i.is_heard AND mqtt.is_valid_now(c);
COMMENT ON VIEW broker.go_auth_user IS 'The devices that may log in now, for pg_userquery and pg_superquery of mosquitto-go-auth.';
COMMENT ON COLUMN broker.go_auth_user.username IS 'Username';
COMMENT ON COLUMN broker.go_auth_user.password_hash IS 'PBKDF2-SHA512 in the form of the plugin''s default hasher, pbkdf2, with the salt in base64';
COMMENT ON COLUMN broker.go_auth_user.is_superuser IS 'Always 0';
GRANT SELECT ON broker.go_auth_user TO go_auth_reader;

CREATE OR REPLACE VIEW broker.go_auth_acl WITH (security_barrier = true) AS
SELECT
    c.username, a.filter AS topic,
    CASE
        WHEN a.action = 'publish' THEN 2
        -- The plugin asks about topics on delivery (1), and about filters, which it matches level by level like topics, on subscribing (4).
        WHEN mqtt.admits_hash(a.filter) THEN 1
        ELSE 5
    END AS access
FROM mqtt.mqtt_credentials AS c
INNER JOIN mqtt.broker_integrations AS i ON i.organization_id = c.organization_id AND i.id = c.integration_id
CROSS JOIN LATERAL mqtt.access_rules(c) AS a
WHERE i.is_hosted AND i.is_on AND i.is_heard AND mqtt.is_valid_now(c) AND NOT mqtt.has_placeholder(a.filter);
COMMENT ON VIEW broker.go_auth_acl IS 'What each device may do, for pg_aclquery of mosquitto-go-auth.';
COMMENT ON COLUMN broker.go_auth_acl.username IS 'Username';
COMMENT ON COLUMN broker.go_auth_acl.topic IS 'Topic filter, written out';
COMMENT ON COLUMN broker.go_auth_acl.access IS 'Bit mask of 1 (receive), 2 (publish) and 4 (subscribe)';
GRANT SELECT ON broker.go_auth_acl TO go_auth_reader;
COMMIT;

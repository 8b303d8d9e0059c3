-- Deploy topicbase:brokers/ended_credentials to pg
-- requires: brokers/view_rules
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE VIEW broker.ended_credentials WITH (security_barrier = true) AS
SELECT c.username, c.client_id, e.ended_at, e.reason
FROM mqtt.mqtt_credentials AS c
INNER JOIN mqtt.device_integrations AS i ON i.organization_id = c.organization_id AND i.id = c.integration_id
CROSS JOIN LATERAL (
    VALUES (c.revoked_at, 'revoked'), (c.expires_at, 'expired'), (greatest(c.rotated_at, c.previous_until), 'rotated')
) AS e (ended_at, reason)
WHERE i.integration_type = 'mqtt_hosted' AND e.ended_at BETWEEN now() - interval '7 days' AND now();
COMMENT ON VIEW broker.ended_credentials IS
'Logins that ended in the last 7 days: a broker that asks only at login has to be told to cut the sessions that they still have.';
COMMENT ON COLUMN broker.ended_credentials.username IS 'Whose sessions to cut';
COMMENT ON COLUMN broker.ended_credentials.client_id IS 'The MQTT client id of that session';
COMMENT ON COLUMN broker.ended_credentials.ended_at IS 'Sessions that began before then are to be cut';
COMMENT ON COLUMN broker.ended_credentials.reason IS 'revoked, expired or rotated (the old password has ended; with the new one it may log in again)';
GRANT SELECT ON broker.ended_credentials TO rabbitmq_reader, emqx_reader, vernemq_reader, go_auth_reader;
COMMIT;

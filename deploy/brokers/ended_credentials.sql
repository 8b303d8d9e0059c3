-- Deploy topicbase:brokers/ended_credentials to pg
-- requires: brokers/view_rules
-- requires: tables/ended_logins
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
WHERE i.integration_type = 'mqtt_hosted' AND e.ended_at BETWEEN now() - interval '7 days' AND now()
UNION ALL
SELECT l.username, l.client_id, l.ended_at, l.reason
FROM mqtt.ended_logins AS l
WHERE l.ended_at > now() - interval '7 days';
COMMENT ON VIEW broker.ended_credentials IS
'Logins that ended in the last 7 days. A broker that checks only at login must be told to disconnect the sessions that still use them.';
COMMENT ON COLUMN broker.ended_credentials.username IS 'User name whose sessions to disconnect';
COMMENT ON COLUMN broker.ended_credentials.client_id IS 'MQTT client id of those sessions';
COMMENT ON COLUMN broker.ended_credentials.ended_at IS 'Sessions that began before this time are to be disconnected';
COMMENT ON COLUMN broker.ended_credentials.reason IS 'revoked, expired, deleted, switched_off (its integration), or rotated (the old password has ended; the device may log in again with the new one)';
GRANT SELECT ON broker.ended_credentials TO rabbitmq_reader, emqx_reader, vernemq_reader, go_auth_reader;
COMMIT;

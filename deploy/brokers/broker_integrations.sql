-- Deploy topicbase:brokers/broker_integrations to pg
-- requires: tables/mqtt_subscriptions
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE VIEW mqtt.broker_integrations WITH (security_barrier = true) AS
SELECT
    i.organization_id,
    i.id,
    i.integration_type = 'mqtt_hosted' AS is_hosted,
    i.status <> 'inactive' AND o.moving_to IS NULL AS is_on,
    -- The broker would acknowledge, and then lose, what a device publishes before the bridge's first subscription.
    i.integration_type <> 'mqtt_hosted' OR NOT EXISTS (
        SELECT
        FROM mqtt.mqtt_subscriptions AS s
        WHERE s.organization_id = i.organization_id AND s.integration_id = i.id
        HAVING count(*) FILTER (WHERE NOT s.is_paused) > 0 AND count(s.granted_qos) = 0
    ) AS is_heard
FROM mqtt.device_integrations AS i
INNER JOIN mqtt.organizations AS o ON o.id = i.organization_id;
COMMENT ON VIEW mqtt.broker_integrations IS
'Whether the devices of an integration may log in at its broker: it must be switched on, and its organization not be moving away (is_on) and, at the hosted broker, one of its subscriptions must have been granted (is_heard). Everything that admits devices to a broker uses this view.';
COMMIT;

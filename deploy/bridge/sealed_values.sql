-- Deploy topicbase:bridge/sealed_values to pg
-- requires: integrations/setting_rules
-- requires: tables/mqtt_callbacks
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE VIEW mqtt.sealed_values WITH (security_invoker = true) AS
SELECT 'device_integrations.settings.' || n.name AS place, i.organization_id, i.id, i.settings -> n.name AS value
FROM mqtt.device_integrations AS i
CROSS JOIN LATERAL unnest(mqtt.secret_setting_names()) AS n (name)
WHERE i.settings ? n.name
UNION ALL
SELECT 'callback_secrets.sealed', k.organization_id, k.subscription_id, k.sealed
FROM mqtt.callback_secrets AS k
UNION ALL
SELECT 'callback_secrets.previous', k.organization_id, k.subscription_id, k.previous
FROM mqtt.callback_secrets AS k
WHERE k.previous IS NOT NULL;
COMMENT ON VIEW mqtt.sealed_values IS
'Every secret that is stored sealed: where (table.column.key), whose, the id of its integration or subscription, and its box. Add secrets of other tables here and in bridge.reseal.';
COMMIT;

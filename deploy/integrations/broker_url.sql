-- Deploy topicbase:integrations/broker_url to pg
-- requires: base/configuration
-- requires: tables/device_integrations
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.broker_url(integration mqtt.device_integrations) RETURNS text
LANGUAGE sql STABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT CASE
        WHEN integration.integration_type = 'mqtt_hosted' THEN (SELECT c.hosted_broker_url FROM mqtt.configuration AS c)
        ELSE format(
            CASE WHEN integration.settings ->> 'broker_url' LIKE '%:%' THEN '%s://[%s]:%s%s' ELSE '%s://%s:%s%s' END,
            integration.settings ->> 'protocol', integration.settings ->> 'broker_url', integration.settings ->> 'port', integration.settings ->> 'path'
        )
    END;
END;
COMMENT ON FUNCTION mqtt.broker_url(mqtt.device_integrations) IS 'The URL that devices are given for the integration''s broker, as it is now.';
GRANT EXECUTE ON FUNCTION mqtt.broker_url(mqtt.device_integrations) TO authenticated, service_role;
COMMIT;

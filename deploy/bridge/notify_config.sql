-- Deploy topicbase:bridge/notify_config to pg
-- requires: tables/mqtt_credentials
-- requires: tables/mqtt_subscriptions
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.notify_config() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- These are rare, and a transaction's identical notifications become one.
    PERFORM pg_notify('topicbase', 'config');
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION mqtt.notify_config() IS 'NOTIFY topicbase, config: the bridge reads its integrations, subscriptions and accounts again.';
CREATE OR REPLACE TRIGGER notify_config AFTER INSERT OR DELETE ON mqtt.device_integrations
FOR EACH STATEMENT EXECUTE FUNCTION mqtt.notify_config();
-- The bridge need not be told of what it writes itself (active, error and the reason).
CREATE OR REPLACE TRIGGER notify_config_update AFTER UPDATE ON mqtt.device_integrations
FOR EACH ROW
WHEN (
    old.settings IS DISTINCT FROM new.settings OR old.integration_type <> new.integration_type
    OR (old.status = 'inactive') <> (new.status = 'inactive')
)
EXECUTE FUNCTION mqtt.notify_config();
CREATE OR REPLACE TRIGGER notify_config AFTER INSERT OR DELETE OR UPDATE OF topic, qos, no_local, retain_handling, is_paused ON mqtt.mqtt_subscriptions
FOR EACH STATEMENT EXECUTE FUNCTION mqtt.notify_config();
-- The broker accounts of an integration wait for its first subscription.
CREATE OR REPLACE TRIGGER notify_config_granted AFTER UPDATE OF granted_qos ON mqtt.mqtt_subscriptions
FOR EACH ROW WHEN (old.granted_qos IS NULL AND new.granted_qos IS NOT NULL)
EXECUTE FUNCTION mqtt.notify_config();
CREATE OR REPLACE TRIGGER notify_config AFTER INSERT OR DELETE OR UPDATE OF
username, client_id, topic_prefix, can_publish, can_subscribe, publish_filters, subscribe_filters, secret_hash, previous_hash, previous_until,
expires_at, revoked_at
ON mqtt.mqtt_credentials
FOR EACH STATEMENT EXECUTE FUNCTION mqtt.notify_config();
COMMIT;

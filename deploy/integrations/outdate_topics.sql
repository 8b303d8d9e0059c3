-- Deploy topicbase:integrations/outdate_topics to pg
-- requires: base/locks
-- requires: tables/devices
-- requires: tables/topics
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.outdate_integration_topics() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- A worker that has read the old pattern says what is current no later than this.
    PERFORM pg_advisory_xact_lock(mqtt.processing_lock(), hashtext(NEW.organization_id::text));
    UPDATE mqtt.topics AS t
    SET is_current = false
    WHERE t.organization_id = NEW.organization_id AND t.integration_id = NEW.id AND t.is_current;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION mqtt.outdate_integration_topics() IS 'Trigger: what topics mean is to be found out again, as their pattern has changed.';
CREATE OR REPLACE TRIGGER z_outdate_topics
AFTER UPDATE ON mqtt.device_integrations
FOR EACH ROW WHEN (
    (new.topic_like, new.topic_levels, new.device_level, new.message_type_level)
    IS DISTINCT FROM (old.topic_like, old.topic_levels, old.device_level, old.message_type_level)
) EXECUTE FUNCTION mqtt.outdate_integration_topics();

CREATE OR REPLACE FUNCTION mqtt.outdate_device_topics() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE mqtt.topics AS t SET is_current = false WHERE t.device_id = OLD.id AND t.organization_id = OLD.organization_id AND t.is_current;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION mqtt.outdate_device_topics() IS 'Trigger: topics name another device from now on than the one that was deleted, or given another name or integration.';
CREATE OR REPLACE TRIGGER z_outdate_topics AFTER DELETE ON mqtt.devices FOR EACH ROW EXECUTE FUNCTION mqtt.outdate_device_topics();
CREATE OR REPLACE TRIGGER z_outdate_moved AFTER UPDATE OF external_id, integration_id ON mqtt.devices
FOR EACH ROW WHEN ((new.external_id, new.integration_id) IS DISTINCT FROM (old.external_id, old.integration_id)) EXECUTE FUNCTION mqtt.outdate_device_topics();
COMMIT;

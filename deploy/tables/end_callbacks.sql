-- Deploy topicbase:tables/end_callbacks to pg
-- requires: tables/mqtt_callbacks
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.end_callbacks() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE mqtt.mqtt_callback_deliveries AS d
    SET status = 'dead', bridge_id = NULL, finished_at = clock_timestamp(), error = 'The subscription ended, or its callback_url was taken away.'
    WHERE d.organization_id = OLD.organization_id AND d.subscription_id = OLD.id AND d.status = 'waiting';
    DELETE FROM mqtt.callback_secrets AS k WHERE k.organization_id = OLD.organization_id AND k.subscription_id = OLD.id;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION mqtt.end_callbacks() IS 'Trigger: what waits for a callback that is no more is given up, and its secret forgotten.';
CREATE OR REPLACE TRIGGER end_callbacks AFTER DELETE ON mqtt.mqtt_subscriptions FOR EACH ROW
WHEN (old.callback_url IS NOT NULL) EXECUTE FUNCTION mqtt.end_callbacks();
CREATE OR REPLACE TRIGGER end_callbacks_update AFTER UPDATE OF callback_url ON mqtt.mqtt_subscriptions FOR EACH ROW
WHEN (old.callback_url IS NOT NULL AND new.callback_url IS NULL) EXECUTE FUNCTION mqtt.end_callbacks();
COMMIT;

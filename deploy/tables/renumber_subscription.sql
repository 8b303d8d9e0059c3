-- Deploy topicbase:tables/renumber_subscription to pg
-- requires: tables/mqtt_subscriptions
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.renumber_subscription() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.number := nextval(pg_get_serial_sequence('mqtt.mqtt_subscriptions', 'number'));
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION mqtt.renumber_subscription() IS 'Trigger: a subscription that is asked for anew gets a new number.';
CREATE OR REPLACE TRIGGER renumber BEFORE UPDATE OF qos, no_local, retain_handling, is_paused ON mqtt.mqtt_subscriptions FOR EACH ROW
WHEN ((old.qos, old.no_local, old.retain_handling, old.is_paused) IS DISTINCT FROM (new.qos, new.no_local, new.retain_handling, new.is_paused))
EXECUTE FUNCTION mqtt.renumber_subscription();
COMMIT;

-- Deploy topicbase:integrations/log_subscription to pg
-- requires: tables/log_activity
-- requires: tables/mqtt_subscriptions
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.log_subscription() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF tg_op = 'DELETE' THEN
        PERFORM mqtt.log_activity(
            OLD.organization_id, OLD.integration_id, 'subscription_removed',
            details => jsonb_build_object('subscription_id', OLD.id, 'topic', left(OLD.topic, 500), 'user_id', mqtt.current_user_id())
        );
    ELSE
        PERFORM mqtt.log_activity(
            NEW.organization_id, NEW.integration_id, 'subscription_added',
            details => jsonb_build_object('subscription_id', NEW.id, 'topic', left(NEW.topic, 500), 'qos', NEW.qos, 'user_id', mqtt.current_user_id())
        );
    END IF;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION mqtt.log_subscription() IS 'Trigger: logs that a subscription was added or removed.';
CREATE OR REPLACE TRIGGER z_log AFTER INSERT OR DELETE ON mqtt.mqtt_subscriptions FOR EACH ROW EXECUTE FUNCTION mqtt.log_subscription();
COMMIT;

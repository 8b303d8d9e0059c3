-- Deploy topicbase:integrations/note_ended_filters to pg
-- requires: tables/ended_filters
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL lock_timeout = '5s';
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.note_ended_filter() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF tg_op = 'INSERT' OR tg_op = 'UPDATE' AND NOT NEW.is_paused THEN
        DELETE FROM mqtt.ended_filters AS e
        WHERE e.organization_id = NEW.organization_id AND e.integration_id = NEW.integration_id AND e.topic = NEW.topic;
    ELSE
        INSERT INTO mqtt.ended_filters AS e (organization_id, integration_id, topic)
        SELECT i.organization_id, i.id, OLD.topic
        FROM mqtt.device_integrations AS i
        -- Not where it goes with its integration, whose session nobody takes up again.
        WHERE i.organization_id = OLD.organization_id AND i.id = OLD.integration_id
        ON CONFLICT ON CONSTRAINT ended_filters_pkey DO NOTHING;
    END IF;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION mqtt.note_ended_filter() IS
'Trigger: a filter that the broker had granted, and that is not to be held any longer, is noted until the bridge has unsubscribed; one that is to be held again is not.';
CREATE OR REPLACE TRIGGER ended_filter AFTER DELETE ON mqtt.mqtt_subscriptions FOR EACH ROW
WHEN (old.active_at IS NOT NULL AND NOT old.is_paused) EXECUTE FUNCTION mqtt.note_ended_filter();
CREATE OR REPLACE TRIGGER ended_filter_update AFTER UPDATE OF is_paused ON mqtt.mqtt_subscriptions FOR EACH ROW
WHEN (old.is_paused <> new.is_paused AND (old.active_at IS NOT NULL OR NOT new.is_paused)) EXECUTE FUNCTION mqtt.note_ended_filter();
CREATE OR REPLACE TRIGGER wanted_filter AFTER INSERT ON mqtt.mqtt_subscriptions FOR EACH ROW
WHEN (NOT new.is_paused) EXECUTE FUNCTION mqtt.note_ended_filter();
COMMIT;

-- Deploy topicbase:integrations/triggers to pg
-- requires: integrations/check_settings
-- requires: tables/device_integrations
-- requires: tables/log_activity
-- requires: tables/mqtt_publish_receipts
-- requires: tables/queues
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.check_integration() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_prefix text := (SELECT o.topic_prefix FROM mqtt.organizations AS o WHERE o.id = NEW.organization_id);
BEGIN
    -- Credentials and subscriptions were checked against these two when they were created.
    IF tg_op = 'UPDATE' AND (NEW.organization_id, NEW.integration_type = 'mqtt_hosted')
        IS DISTINCT FROM (OLD.organization_id, OLD.integration_type = 'mqtt_hosted') THEN
        RAISE EXCEPTION 'integration_type_fixed' USING
            ERRCODE = 'PT409',
            DETAIL = 'An integration stays with its organization, and a hosted one stays hosted.',
            HINT = 'Create a new integration and delete this one.';
    END IF;
    -- Resealing must not fail because of an old setting that would be rejected today.
    IF tg_op = 'UPDATE' AND mqtt.is_resealed(OLD.settings, NEW.settings)
        AND (NEW.integration_type, NEW.topic_like, NEW.topic_levels, NEW.device_level, NEW.message_type_level)
        IS NOT DISTINCT FROM (OLD.integration_type, OLD.topic_like, OLD.topic_levels, OLD.device_level, OLD.message_type_level) THEN
        NEW.updated_at := clock_timestamp();
        RETURN NEW;
    END IF;
    NEW.settings := mqtt.checked_settings(
        NEW.settings, NEW.integration_type, v_prefix, CASE tg_op WHEN 'UPDATE' THEN OLD.settings ELSE '{}' END,
        (SELECT c.allow_private_addresses FROM mqtt.configuration AS c)
    );
    SELECT l.topic_like, l.topic_levels, l.device_level, l.message_type_level
    INTO NEW.topic_like, NEW.topic_levels, NEW.device_level, NEW.message_type_level
    FROM mqtt.topic_pattern_levels(coalesce(NEW.settings ->> 'topic_pattern', mqtt.default_topic_pattern()), v_prefix) AS l;
    NEW.updated_at := clock_timestamp();
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION mqtt.check_integration() IS 'Trigger: checks and completes settings, seals secrets, compiles the topic pattern.';
CREATE OR REPLACE TRIGGER a_check
BEFORE INSERT OR UPDATE OF organization_id, integration_type, settings, topic_like, topic_levels, device_level, message_type_level
ON mqtt.device_integrations
FOR EACH ROW EXECUTE FUNCTION mqtt.check_integration();

CREATE OR REPLACE FUNCTION mqtt.check_client_id() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_name text;
BEGIN
    SELECT i.name INTO v_name
    FROM mqtt.device_integrations AS i
    WHERE i.organization_id = NEW.organization_id AND i.id <> NEW.id AND i.integration_type <> 'mqtt_hosted' AND i.status <> 'inactive'
        AND i.settings ->> 'broker_url' = NEW.settings ->> 'broker_url' AND i.settings ->> 'port' = NEW.settings ->> 'port'
        AND coalesce(i.settings ->> 'path', '') = coalesce(NEW.settings ->> 'path', '')
        AND mqtt.bridge_client_id(i.id, i.settings) = mqtt.bridge_client_id(NEW.id, NEW.settings);
    IF found THEN
        RAISE EXCEPTION 'client_id_in_use' USING
            ERRCODE = 'PT409',
            DETAIL = format('The integration "%s" connects to the same broker with the same client id; they would disconnect each other.', v_name),
            HINT = 'Choose another settings.client_id, or omit it: then each integration gets its own.';
    END IF;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION mqtt.check_client_id() IS 'Trigger: an organization''s integrations at one broker have different client ids. The index device_integrations_client_id_idx ensures it for concurrent writers too.';
CREATE OR REPLACE TRIGGER b_client_id
BEFORE INSERT OR UPDATE OF integration_type, settings, status ON mqtt.device_integrations
FOR EACH ROW WHEN (new.integration_type <> 'mqtt_hosted' AND new.status <> 'inactive') EXECUTE FUNCTION mqtt.check_client_id();

CREATE OR REPLACE FUNCTION mqtt.integration_changed() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF tg_op = 'DELETE' THEN
        -- These will never be published; their receipts say so.
        WITH dropped AS (
            DELETE FROM pgmq.q_mqtt_outbound AS q
            WHERE q.integration_id = OLD.id
            RETURNING q.*
        )
        INSERT INTO mqtt.mqtt_publish_receipts (queued_at, organization_id, id, integration_id, qos, attempts, state, topic, reason)
        SELECT
            d.enqueued_at, d.organization_id, coalesce(d.receipt_id, mqtt.keyed_message_id(d.enqueued_at, -d.msg_id, k.key)), d.integration_id,
            coalesce((d.message -> 'qos')::smallint, 0), d.attempts, 'cancelled', d.message ->> 'topic', 'The integration was deleted.'
        FROM dropped AS d
        CROSS JOIN mqtt.message_id_key AS k;
        PERFORM mqtt.log_activity(OLD.organization_id, OLD.id, 'integration_deleted', details => jsonb_build_object('name', OLD.name));
    ELSIF tg_op = 'INSERT' THEN
        PERFORM mqtt.log_activity(
            NEW.organization_id, NEW.id, 'integration_created',
            details => jsonb_build_object('name', NEW.name, 'integration_type', NEW.integration_type, 'user_id', mqtt.current_user_id())
        );
    -- The bridge switches between active and error; those changes are not logged here.
    ELSIF (NEW.name, NEW.integration_type, NEW.settings, NEW.status = 'inactive')
        IS DISTINCT FROM (OLD.name, OLD.integration_type, OLD.settings, OLD.status = 'inactive') THEN
        PERFORM mqtt.log_activity(
            NEW.organization_id, NEW.id, 'integration_updated',
            details => jsonb_build_object(
                'user_id', mqtt.current_user_id(),
                'status', NEW.status,
                'settings_changed', ARRAY(
                    SELECT coalesce(n.key, o.key)
                    FROM jsonb_each(NEW.settings) AS n
                    FULL JOIN jsonb_each(OLD.settings) AS o USING (key)
                    WHERE n.value IS DISTINCT FROM o.value
                )
            )
        );
    END IF;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION mqtt.integration_changed() IS
'Trigger: logs the change and the names of the changed settings; a deleted integration''s queued messages are settled as cancelled.';
CREATE OR REPLACE TRIGGER z_changed
AFTER INSERT OR DELETE OR UPDATE OF name, integration_type, settings, status ON mqtt.device_integrations
FOR EACH ROW EXECUTE FUNCTION mqtt.integration_changed();
COMMIT;

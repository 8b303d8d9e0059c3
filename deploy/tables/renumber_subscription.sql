-- Deploy topicbase:tables/renumber_subscription to pg
-- requires: base/message_id_key
-- requires: tables/mqtt_subscriptions
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
-- Begins again after its end: by then, no subscription has a number that is as old.
CREATE SEQUENCE mqtt.subscription_numbers AS integer MAXVALUE 268435455 CYCLE OWNED BY mqtt.mqtt_subscriptions.number;

CREATE OR REPLACE FUNCTION mqtt.permuted_number(number integer) RETURNS integer
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_key CONSTANT bytea := (SELECT k.key FROM mqtt.message_id_key AS k);
    v_left integer := number >> 14;
    v_right integer := number & 16383;
    v_digest bytea;
BEGIN
    -- A Feistel network: whatever its rounds mix in, it can be undone, and so no two numbers become the same.
    FOR v_round IN 1..6 LOOP
        v_digest := sha256(v_key || convert_to('subscription', 'UTF8') || int4send(v_round) || int4send(v_right));
        SELECT v_right, v_left # ((get_byte(v_digest, 0) << 8 | get_byte(v_digest, 1)) & 16383) INTO v_left, v_right;
    END LOOP;
    -- A Subscription Identifier is not 0 (MQTT 5 section 3.8.2.1.2).
    RETURN CASE v_left << 14 | v_right WHEN 0 THEN mqtt.permuted_number(0) ELSE v_left << 14 | v_right END;
END;
$$;
COMMENT ON FUNCTION mqtt.permuted_number(integer) IS
'A number of 28 bits, not 0, as another one, each as a different one, in an order that only the key of this installation tells.';

CREATE OR REPLACE FUNCTION mqtt.renumber_subscription() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    LOOP
        NEW.number := mqtt.permuted_number(nextval('mqtt.subscription_numbers')::integer);
        EXIT WHEN NOT EXISTS (
            SELECT
            FROM mqtt.mqtt_subscriptions AS s
            WHERE s.organization_id = NEW.organization_id AND s.integration_id = NEW.integration_id AND s.number = NEW.number
        );
    END LOOP;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION mqtt.renumber_subscription() IS 'Trigger: a subscription that is new, or asked for again, gets a new number, unless it brings one along.';
CREATE OR REPLACE TRIGGER number BEFORE INSERT ON mqtt.mqtt_subscriptions FOR EACH ROW
WHEN (new.number IS NULL)
EXECUTE FUNCTION mqtt.renumber_subscription();
CREATE OR REPLACE TRIGGER renumber BEFORE UPDATE OF qos, no_local, retain_handling, is_paused ON mqtt.mqtt_subscriptions FOR EACH ROW
WHEN ((old.qos, old.no_local, old.retain_handling, old.is_paused) IS DISTINCT FROM (new.qos, new.no_local, new.retain_handling, new.is_paused))
EXECUTE FUNCTION mqtt.renumber_subscription();
COMMIT;

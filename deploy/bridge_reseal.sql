-- Deploy topicbase:bridge_reseal to pg
-- requires: callback_secrets
-- requires: integration_triggers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE FUNCTION bridge.sealed_secrets() RETURNS TABLE (kind text, owner_id uuid, sealed text)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT s.key, i.id, s.value ->> 'sealed'
    FROM mqtt.device_integrations AS i
    CROSS JOIN LATERAL jsonb_each(i.settings) AS s
    WHERE s.key = ANY (mqtt.secret_setting_names()) AND s.value ? 'sealed'
    UNION ALL
    SELECT 'callback_secret', k.subscription_id, b.box ->> 'sealed'
    FROM mqtt.callback_secrets AS k
    CROSS JOIN LATERAL (VALUES (k.sealed), (k.previous)) AS b (box)
    WHERE b.box ? 'sealed';
$$;
COMMENT ON FUNCTION bridge.sealed_secrets() IS
'Every secret that is sealed: password or client_key of an integration, callback_secret of a subscription.';
GRANT EXECUTE ON FUNCTION bridge.sealed_secrets() TO mqtt_bridge;

CREATE FUNCTION bridge.replace_sealed_secret(kind text, owner_id uuid, old_box text, new_box text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_new CONSTANT jsonb := jsonb_build_object('sealed', new_box);
BEGIN
    IF kind = 'callback_secret' THEN
        UPDATE mqtt.callback_secrets AS k
        SET sealed = CASE WHEN k.sealed ->> 'sealed' = old_box THEN v_new ELSE k.sealed END,
            previous = CASE WHEN k.previous ->> 'sealed' = old_box THEN v_new ELSE k.previous END
        WHERE k.subscription_id = owner_id AND old_box IN (k.sealed ->> 'sealed', k.previous ->> 'sealed');
    ELSE
        UPDATE mqtt.device_integrations AS i
        SET settings = i.settings || jsonb_build_object(kind, v_new)
        WHERE i.id = owner_id AND kind = ANY (mqtt.secret_setting_names()) AND i.settings -> kind ->> 'sealed' = old_box;
    END IF;
    RETURN found;
END;
$$;
COMMENT ON FUNCTION bridge.replace_sealed_secret(text, uuid, text, text) IS
'Puts the box that holds the same secret, sealed to another key, in the place of the old one; false where somebody else has changed it meanwhile.';
GRANT EXECUTE ON FUNCTION bridge.replace_sealed_secret(text, uuid, text, text) TO mqtt_bridge;
COMMIT;

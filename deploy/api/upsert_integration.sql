-- Deploy topicbase:api/upsert_integration to pg
-- requires: api/integration_total
-- requires: integrations/access
-- requires: integrations/triggers
-- requires: tables/mqtt_subscriptions
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.integration_json(integration mqtt.device_integrations) RETURNS jsonb
LANGUAGE sql IMMUTABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT jsonb_build_object(
        'id', integration.id,
        'organization_id', integration.organization_id,
        'name', integration.name,
        'integration_type', integration.integration_type,
        'settings', mqtt.visible_settings(integration.settings),
        'has_password', integration.settings ? 'password',
        'status', integration.status,
        'status_detail', integration.status_detail,
        'created_at', integration.created_at,
        'updated_at', integration.updated_at
    );
END;
COMMENT ON FUNCTION mqtt.integration_json(mqtt.device_integrations) IS $md$An integration as the API shows it, without secrets.
Answer: {"...": "device_integrations", "-": ["status_changed_at"]}$md$;
GRANT EXECUTE ON FUNCTION mqtt.integration_json(mqtt.device_integrations) TO authenticated, service_role;

CREATE OR REPLACE FUNCTION mqtt.require_integration_room(organization_id uuid) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_most integer;
BEGIN
    PERFORM mqtt.require_organization(require_integration_room.organization_id, true);
    -- Two calls at once must not both find the last place free.
    SELECT o.max_integrations INTO v_most FROM mqtt.organizations AS o WHERE o.id = require_integration_room.organization_id FOR NO KEY UPDATE;
    v_most := coalesce(v_most, (SELECT c.max_integrations FROM mqtt.configuration AS c));
    IF v_most <= (
        SELECT count(*) FROM mqtt.device_integrations AS i WHERE i.organization_id = require_integration_room.organization_id AND i.status <> 'inactive'
    ) THEN
        RAISE EXCEPTION 'integration_limit_reached' USING
            ERRCODE = 'PT409',
            DETAIL = format('Your organization has %s integrations that are switched on, and may have no more.', v_most),
            HINT = 'Switch off some that are not used, or ask the operator to raise max_integrations.';
    END IF;
END;
$$;
COMMENT ON FUNCTION mqtt.require_integration_room(uuid) IS
'Raises PT409 integration_limit_reached if the organization already has as many integrations switched on as it may have.';
GRANT EXECUTE ON FUNCTION mqtt.require_integration_room(uuid) TO authenticated, service_role;

CREATE OR REPLACE FUNCTION api.upsert_integration(
    organization_id uuid, name text, integration_type text, settings jsonb DEFAULT NULL, integration_id uuid DEFAULT NULL, status text DEFAULT NULL
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_organization mqtt.organizations;
    v_integration mqtt.device_integrations;
BEGIN
    v_organization := mqtt.require_organization(upsert_integration.organization_id, true);
    IF upsert_integration.name IS NULL OR length(upsert_integration.name) NOT BETWEEN 1 AND 200 THEN
        RAISE EXCEPTION 'name_invalid' USING ERRCODE = 'PT400', DETAIL = 'name must be a string of 1 to 200 characters.', HINT = 'It is shown to people.';
    END IF;
    IF upsert_integration.integration_type IS NULL OR upsert_integration.integration_type NOT IN ('mqtt', 'mqtt_hosted', 'mqtt_external') THEN
        RAISE EXCEPTION 'integration_type_invalid' USING
            ERRCODE = 'PT400',
            DETAIL = 'integration_type must be mqtt_hosted, mqtt_external or mqtt.',
            HINT = 'mqtt_hosted is the broker beside this database; mqtt_external (or mqtt) is the broker that settings.broker_url names.';
    END IF;
    IF upsert_integration.status NOT IN ('active', 'inactive') THEN
        RAISE EXCEPTION 'status_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'status must be active or inactive.', HINT = 'An inactive integration rejects messages and has no connection.';
    END IF;
    IF upsert_integration.integration_id IS NULL THEN
        IF upsert_integration.status IS DISTINCT FROM 'inactive' THEN
            PERFORM mqtt.require_integration_room(upsert_integration.organization_id);
        END IF;
        PERFORM mqtt.require_integration_total(upsert_integration.organization_id);
        INSERT INTO mqtt.device_integrations (organization_id, name, integration_type, settings, status)
        VALUES (
            upsert_integration.organization_id, upsert_integration.name, upsert_integration.integration_type,
            coalesce(upsert_integration.settings, '{}'), coalesce(upsert_integration.status, 'active')
        )
        RETURNING * INTO v_integration;
        -- Messages that hosted devices publish over MQTT arrive through this subscription.
        IF v_integration.integration_type = 'mqtt_hosted' THEN
            INSERT INTO mqtt.mqtt_subscriptions (organization_id, integration_id, topic, qos)
            VALUES (v_integration.organization_id, v_integration.id, v_organization.topic_prefix || '/#', 1);
        END IF;
    ELSE
        v_integration := mqtt.require_integration(upsert_integration.integration_id, upsert_integration.organization_id, true);
        IF v_integration.status = 'inactive' AND upsert_integration.status = 'active' THEN
            PERFORM mqtt.require_integration_room(upsert_integration.organization_id);
        END IF;
        UPDATE mqtt.device_integrations AS i
        SET name = upsert_integration.name,
            integration_type = upsert_integration.integration_type,
            settings = coalesce(upsert_integration.settings, i.settings),
            status = CASE upsert_integration.status WHEN 'active' THEN CASE i.status WHEN 'inactive' THEN 'active' ELSE i.status END
                WHEN 'inactive' THEN 'inactive' ELSE i.status END,
            status_detail = CASE WHEN upsert_integration.status IS NULL THEN i.status_detail END,
            status_changed_at = CASE WHEN upsert_integration.status IS NULL THEN i.status_changed_at ELSE clock_timestamp() END
        WHERE i.id = upsert_integration.integration_id
        RETURNING i.* INTO v_integration;
    END IF;
    RETURN mqtt.integration_json(v_integration);
END;
$$;
COMMENT ON FUNCTION api.upsert_integration(uuid, text, text, jsonb, uuid, text) IS
$md$Create or change an integration

Without integration_id a new integration is created; with it, that integration is changed. settings replace the old ones as a whole, except that
a secret (password, client_key) that is omitted is kept, and one that is null is removed; if settings are omitted, all stay. status is `active`
(default) or `inactive`. Types are `mqtt_hosted` (the broker beside this database), `mqtt_external` and `mqtt` (the broker that
`settings.broker_url` names). The API reference lists the settings.
Returns the integration without secrets: `settings.has_password` says that one is stored.
Errors: 400 `name_invalid`, `integration_type_invalid`, `status_invalid`, `setting_invalid` (details name the setting),
`sealing_unavailable`; 403 `admin_required`; 404 `organization_not_found`, `integration_not_found`;
409 `integration_type_fixed` (hosted stays hosted), `client_id_in_use`, `integration_limit_reached`.
Body: {"integration_type": "mqtt_hosted|mqtt_external|mqtt", "settings": "object", "status": "active|inactive"}
Answer: "mqtt.integration_json"$md$;
GRANT EXECUTE ON FUNCTION api.upsert_integration(uuid, text, text, jsonb, uuid, text) TO authenticated, service_role;

CREATE OR REPLACE FUNCTION api.delete_integration(integration_id uuid) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_integration mqtt.device_integrations;
BEGIN
    v_integration := mqtt.require_integration(delete_integration.integration_id, NULL, true);
    DELETE FROM mqtt.device_integrations AS i WHERE i.id = delete_integration.integration_id;
    RETURN mqtt.integration_json(v_integration);
END;
$$;
COMMENT ON FUNCTION api.delete_integration(uuid) IS
$md$Delete an integration

This also deletes its credentials, devices and subscriptions, and cancels messages that wait to be published. The history stays until its
retention ends. Returns the deleted integration.
Errors: 403 `admin_required`; 404 `integration_not_found`.
Answer: "mqtt.integration_json"$md$;
GRANT EXECUTE ON FUNCTION api.delete_integration(uuid) TO authenticated, service_role;
COMMIT;

-- Deploy topicbase:integrations/find_device to pg
-- requires: base/parse_values
-- requires: base/require_argument
-- requires: tables/devices
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.find_device(device_id text, external_id text, integration_id uuid, organization_id uuid) RETURNS mqtt.devices
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_name CONSTANT text := coalesce(find_device.device_id, find_device.external_id);
    v_found mqtt.devices [];
BEGIN
    IF mqtt.is_uuid(find_device.device_id) THEN
        v_found := ARRAY(
            SELECT d
            FROM mqtt.organizations AS o
            JOIN mqtt.devices AS d ON d.organization_id = o.id AND d.id = find_device.device_id::uuid
            WHERE o.id = coalesce(find_device.organization_id, o.id) AND d.integration_id = coalesce(find_device.integration_id, d.integration_id)
        );
    END IF;
    IF coalesce(cardinality(v_found), 0) = 0 THEN
        v_found := ARRAY(
            SELECT d
            FROM mqtt.device_integrations AS i
            JOIN mqtt.devices AS d ON d.organization_id = i.organization_id AND d.integration_id = i.id AND d.external_id = v_name
            WHERE i.id = coalesce(find_device.integration_id, i.id) AND i.organization_id = coalesce(find_device.organization_id, i.organization_id)
            LIMIT 2
        );
    END IF;
    IF cardinality(v_found) = 0 THEN
        PERFORM mqtt.require_argument('device_id', v_name);
        RAISE EXCEPTION 'device_not_found' USING
            ERRCODE = 'PT404',
            DETAIL = format('There is no device %s that you may see.', left(v_name, 255)),
            HINT = 'list_devices shows yours; sync_device registers a device before its first message.';
    ELSIF cardinality(v_found) > 1 THEN
        RAISE EXCEPTION 'device_ambiguous' USING
            ERRCODE = 'PT409',
            DETAIL = format('Several integrations have a device %s.', left(v_name, 255)),
            HINT = 'Send integration_id as well, or the device''s own id as device_id.';
    ELSIF v_found[1].external_id <> find_device.external_id THEN
        RAISE EXCEPTION 'argument_conflict' USING
            ERRCODE = 'PT400', DETAIL = 'device_id and external_id name different devices.', HINT = 'Send one of the two.';
    END IF;
    RETURN v_found[1];
END;
$$;
COMMENT ON FUNCTION mqtt.find_device(text, text, uuid, uuid) IS
'The device that has device_id as its id or external id, or external_id as its external id, among those that the caller sees. Raises PT404 device_not_found, PT409 device_ambiguous, or PT400 argument_conflict if both are given and name different devices.';
GRANT EXECUTE ON FUNCTION mqtt.find_device(text, text, uuid, uuid) TO authenticated, service_role;
COMMIT;

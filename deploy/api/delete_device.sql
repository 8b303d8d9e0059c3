-- Deploy topicbase:api/delete_device to pg
-- requires: api/deletions
-- requires: integrations/find_device
-- requires: tables/log_activity
-- requires: tables/mqtt_credentials
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.delete_device(device mqtt.devices, with_data boolean) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_device mqtt.devices;
    v_deletion mqtt.deletions;
BEGIN
    SELECT d.* INTO v_device FROM mqtt.devices AS d WHERE d.organization_id = device.organization_id AND d.id = device.id FOR UPDATE;
    PERFORM mqtt.require_part(device.organization_id, coalesce(v_device.integration_id, device.integration_id));
    INSERT INTO mqtt.deletions AS d (organization_id, kind, subject, requested_by, integration_id, device_id, phase)
    SELECT
        v_device.organization_id, 'device', v_device.external_id, mqtt.current_user_id(), v_device.integration_id, v_device.id,
        CASE WHEN with_data THEN 'messages' ELSE 'rollups' END
    WHERE v_device.id IS NOT NULL
    RETURNING d.* INTO v_deletion;
    IF NOT found THEN
        RAISE EXCEPTION 'device_not_found' USING
            ERRCODE = 'PT404', DETAIL = format('There is no device %s any longer.', device.id), HINT = 'list_devices shows yours.';
    END IF;
    -- Revoked, not deleted: so brokers that check at login alone are told (broker.ended_credentials).
    UPDATE mqtt.mqtt_credentials AS c
    SET revoked_at = coalesce(c.revoked_at, clock_timestamp()), previous_salt = NULL, previous_hash = NULL, previous_until = NULL, device_id = NULL
    WHERE c.organization_id = v_device.organization_id AND c.device_id = v_device.id;
    DELETE FROM mqtt.devices AS d WHERE d.organization_id = v_device.organization_id AND d.id = v_device.id;
    PERFORM mqtt.log_activity(
        v_device.organization_id, v_device.integration_id, 'device_deleted',
        details => jsonb_build_object(
            'device_id', v_device.id, 'external_id', v_device.external_id, 'with_data', with_data, 'deletion_id', v_deletion.id,
            'user_id', v_deletion.requested_by
        )
    );
    PERFORM set_config('response.status', '202', true);
    RETURN mqtt.deletion_json(v_deletion);
END;
$$;
COMMENT ON FUNCTION mqtt.delete_device(mqtt.devices, boolean) IS
'Deletes a device and ends its logins, as an admin of its organization; has its rollups deleted, and its messages where told so.';
GRANT EXECUTE ON FUNCTION mqtt.delete_device(mqtt.devices, boolean) TO authenticated, service_role;

CREATE OR REPLACE FUNCTION api.delete_device(
    device_id text, with_data boolean DEFAULT false, integration_id uuid DEFAULT NULL, organization_id uuid DEFAULT NULL
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN mqtt.delete_device(
        mqtt.find_device(delete_device.device_id, NULL, delete_device.integration_id, delete_device.organization_id),
        coalesce(delete_device.with_data, false)
    );
END;
$$;
COMMENT ON FUNCTION api.delete_device(text, boolean, uuid, uuid) IS
$md$Delete a device

For admins. device_id is the device's id or its external id. The device is gone at once, and its logins are revoked: HTTP refuses them, and the
hosted broker disconnects them. Answers 202 with a deletion, which maintenance works off in the next seconds or minutes: the device's rollups, and
with_data also its messages, readings and the dead letters, receipts and webhook deliveries that belong to them. `get_deletion` shows its progress.
Without with_data, its messages stay until their retention ends. A message that comes later, or was accepted before and is still queued,
registers a device of that external id again, which has none of the old one's data.
Errors: 403 `admin_required`; 404 `device_not_found`; 409 `device_ambiguous`.
Answer 202: "mqtt.deletion_json"$md$;
GRANT EXECUTE ON FUNCTION api.delete_device(text, boolean, uuid, uuid) TO authenticated, service_role;
COMMIT;

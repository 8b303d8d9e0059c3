-- Deploy topicbase:api/devices to pg
-- requires: base/json
-- requires: integrations/access
-- requires: integrations/find_device
-- requires: process/latest_values
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION api.list_devices(
    "limit" integer DEFAULT 100, cursor text DEFAULT NULL, integration_id uuid DEFAULT NULL, organization_id uuid DEFAULT NULL
) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_place text [];
    v_after text;
    v_devices mqtt.devices [];
    v_last mqtt.devices;
BEGIN
    IF (list_devices."limit" BETWEEN 1 AND 1000) IS NOT TRUE THEN
        RAISE EXCEPTION 'limit_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'limit is a whole number from 1 to 1000.', HINT = 'Send next_cursor as cursor to get the next page.';
    END IF;
    IF list_devices.integration_id IS NOT NULL THEN
        PERFORM mqtt.require_integration(list_devices.integration_id, list_devices.organization_id);
    ELSIF list_devices.organization_id IS NOT NULL THEN
        PERFORM mqtt.require_organization(list_devices.organization_id);
    ELSE
        PERFORM mqtt.require_single_organization();
    END IF;
    IF list_devices.cursor IS NOT NULL THEN
        -- A cursor is the last device's place in the index: organization, integration, external id in hexadecimal.
        BEGIN
            v_place := regexp_match(list_devices.cursor, '^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.((?:[0-9a-f]{2})+)$');
            v_after := convert_from(decode(v_place[3], 'hex'), 'UTF8');
        EXCEPTION
            WHEN data_exception THEN
                v_place := NULL;
        END;
        IF v_place IS NULL THEN
            RAISE EXCEPTION 'cursor_invalid' USING
                ERRCODE = 'PT400', DETAIL = 'cursor is the next_cursor of an earlier answer.', HINT = 'Omit it to begin at the start.';
        END IF;
    END IF;
    v_devices := ARRAY(
        SELECT d
        FROM mqtt.devices AS d
        WHERE (list_devices.integration_id IS NULL OR d.integration_id = list_devices.integration_id)
            AND (list_devices.organization_id IS NULL OR d.organization_id = list_devices.organization_id)
            AND (v_place IS NULL OR (d.organization_id, d.integration_id, d.external_id) > (v_place[1]::uuid, v_place[2]::uuid, v_after))
        ORDER BY d.organization_id, d.integration_id, d.external_id
        LIMIT list_devices."limit" + 1
    );
    v_last := v_devices[list_devices."limit"];
    RETURN jsonb_build_object(
        'devices', coalesce((SELECT jsonb_agg(mqtt.device_document(d)) FROM unnest(v_devices[:list_devices."limit"]) AS d), '[]'),
        'next_cursor', CASE
            WHEN cardinality(v_devices) > list_devices."limit" THEN concat_ws(
                '.', v_last.organization_id, v_last.integration_id, encode(convert_to(v_last.external_id, 'UTF8'), 'hex')
            )
        END
    );
END;
$$;
COMMENT ON FUNCTION api.list_devices(integer, text, uuid, uuid) IS
$md$List devices, page by page

Answers `{"devices": [...], "next_cursor"}`: up to limit (1 to 1000) devices, ordered by integration and external id. Send next_cursor as
cursor to get the next page; it is null on the last one. Devices that are registered or deleted between two pages do not shift the others.
Errors: 400 `limit_invalid`, `cursor_invalid`, `organization_required` (you belong to several); 404 `integration_not_found`, `organization_not_found`.
Answer: {"devices": ["devices"], "next_cursor": "text?"}$md$;
GRANT EXECUTE ON FUNCTION api.list_devices(integer, text, uuid, uuid) TO authenticated, service_role;

CREATE OR REPLACE FUNCTION api.get_device(
    device_id text DEFAULT NULL, integration_id uuid DEFAULT NULL, organization_id uuid DEFAULT NULL, external_id text DEFAULT NULL
) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_device mqtt.devices;
BEGIN
    v_device := mqtt.find_device(get_device.device_id, get_device.external_id, get_device.integration_id, get_device.organization_id);
    RETURN mqtt.device_document(v_device) || jsonb_build_object('found_by', CASE WHEN lower(get_device.device_id) = v_device.id::text THEN 'id' ELSE 'external_id' END);
END;
$$;
COMMENT ON FUNCTION api.get_device(text, uuid, uuid, text) IS
$md$Read one device

device_id is the device's id or its external id (the id in its topics); external_id is its external id only. Answers the device: id,
external_id, name, metadata, last_data (its newest telemetry), last_data_at, latest (of each metric the newest value:
`{"temperature": {"value": 23.5, "at": "…"}}`), last_seen_at, what it belongs to, and found_by: `id` or `external_id`.
Errors: 400 `argument_conflict`; 404 `device_not_found`; 409 `device_ambiguous` (several integrations have that external id).
Answer: {"...": "devices", "found_by": "id|external_id"}$md$;
GRANT EXECUTE ON FUNCTION api.get_device(text, uuid, uuid, text) TO authenticated, service_role;

CREATE OR REPLACE FUNCTION api.sync_device(
    integration_id uuid, external_id text, name text DEFAULT NULL, metadata jsonb DEFAULT NULL, organization_id uuid DEFAULT NULL
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_integration mqtt.device_integrations := mqtt.require_integration(sync_device.integration_id, sync_device.organization_id);
    v_device mqtt.devices;
BEGIN
    IF (octet_length(sync_device.external_id) BETWEEN 1 AND 255) IS NOT TRUE OR sync_device.external_id ~ '[/+#\u0001-\u001f\u007f-\u009f]' THEN
        RAISE EXCEPTION 'external_id_invalid' USING
            ERRCODE = 'PT400',
            DETAIL = 'external_id is one topic level: 1 to 255 bytes without /, +, # and control characters.',
            HINT = 'It is the level of the device''s topics that topic_pattern calls {device_id}.';
    ELSIF length(sync_device.name) NOT BETWEEN 1 AND 200 THEN
        RAISE EXCEPTION 'name_invalid' USING ERRCODE = 'PT400', DETAIL = 'name is a string of 1 to 200 characters.', HINT = 'It is shown to people.';
    ELSIF jsonb_typeof(sync_device.metadata) <> 'object' OR octet_length(sync_device.metadata::text) > 65536 THEN
        RAISE EXCEPTION 'metadata_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'metadata is a JSON object of at most 64 KiB.', HINT = 'Store large objects elsewhere and keep their URL here.';
    ELSIF mqtt.is_too_deep(sync_device.metadata) THEN
        RAISE EXCEPTION 'metadata_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'metadata is nested more than 128 levels deep.', HINT = 'Nest it less deeply.';
    ELSIF mqtt.has_extreme_number(sync_device.metadata) THEN
        RAISE EXCEPTION 'metadata_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'metadata has a number outside the range of a double precision float.', HINT = 'Send such a number as a string.';
    END IF;
    INSERT INTO mqtt.devices AS d (organization_id, integration_id, external_id, name, metadata)
    VALUES (
        v_integration.organization_id, v_integration.id, sync_device.external_id, sync_device.name, coalesce(sync_device.metadata, '{}')
    )
    ON CONFLICT ON CONSTRAINT devices_integration_id_organization_id_external_id_key DO UPDATE
    SET name = coalesce(sync_device.name, d.name), metadata = coalesce(sync_device.metadata, d.metadata)
    RETURNING d.* INTO v_device;
    RETURN mqtt.device_document(v_device);
END;
$$;
COMMENT ON FUNCTION api.sync_device(uuid, text, text, jsonb, uuid) IS
$md$Register a device, or change its name and metadata

external_id is the device's id in its topics. An argument that is omitted changes nothing; metadata replaces the old metadata as a whole.
You need not register devices: a device's first message registers it.
Errors: 400 `external_id_invalid`, `name_invalid`, `metadata_invalid`; 404 `integration_not_found`.
Body: {"metadata": "object"}
Answer: "devices"$md$;
GRANT EXECUTE ON FUNCTION api.sync_device(uuid, text, text, jsonb, uuid) TO authenticated, service_role;
COMMIT;

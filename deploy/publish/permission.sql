-- Deploy topicbase:publish/permission to pg
-- requires: base/configuration
-- requires: integrations/access
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.outbound_fault(integration_id uuid, topic text, bytes integer) RETURNS text
LANGUAGE sql STABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT CASE
        WHEN i.status = 'inactive' THEN 'integration_inactive'
        -- At the shared broker, an organization's topics are its own; service_role stands above organizations.
        WHEN i.integration_type = 'mqtt_hosted' AND NOT mqtt.is_operator() AND NOT starts_with(outbound_fault.topic, o.topic_prefix || '/')
            THEN 'topic_not_allowed'
        WHEN outbound_fault.bytes > least(o.max_payload_bytes, c.max_payload_bytes) THEN 'payload_too_large'
    END
    FROM mqtt.device_integrations AS i
    INNER JOIN mqtt.organizations AS o ON o.id = i.organization_id
    CROSS JOIN mqtt.configuration AS c
    WHERE i.id = outbound_fault.integration_id;
END;
COMMENT ON FUNCTION mqtt.outbound_fault(uuid, text, integer) IS
'Slug of why the caller may not have a message of so many bytes published there through that integration; null when they may. The rules of api.mqtt_publish.';

CREATE OR REPLACE FUNCTION mqtt.refuse_outbound(fault text) RETURNS void
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF fault IS NOT NULL THEN
        RAISE EXCEPTION '%', fault USING
            ERRCODE = CASE fault WHEN 'payload_too_large' THEN 'PT413' ELSE 'PT403' END,
            DETAIL = CASE fault
                WHEN 'integration_inactive' THEN 'The integration is switched off.'
                WHEN 'topic_not_allowed' THEN 'Topics at the hosted broker start with the organization''s own prefix.'
                ELSE 'A payload is larger than the organization may publish.'
            END,
            HINT = 'None of the messages was queued.';
    END IF;
END;
$$;
COMMENT ON FUNCTION mqtt.refuse_outbound(text) IS 'Raises what mqtt.outbound_fault found, if anything.';
COMMIT;

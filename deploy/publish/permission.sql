-- Deploy topicbase:publish/permission to pg
-- requires: base/configuration
-- requires: integrations/access
-- requires: topics/names
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
-- Both are inlined into the statements that judge many messages.
CREATE OR REPLACE FUNCTION mqtt.outbound_limits(integration_id uuid)
RETURNS TABLE (is_inactive boolean, required_prefix text, max_bytes integer, max_messages integer)
LANGUAGE sql STABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT
        i.status = 'inactive',
        -- At the shared broker an organization has the topics below its own prefix; an operator stands above organizations.
        CASE WHEN i.integration_type = 'mqtt_hosted' AND NOT mqtt.is_operator() THEN o.topic_prefix END,
        least(o.max_payload_bytes, c.max_payload_bytes),
        c.max_batch_messages
    FROM mqtt.device_integrations AS i
    INNER JOIN mqtt.organizations AS o ON o.id = i.organization_id
    CROSS JOIN mqtt.configuration AS c
    WHERE i.id = outbound_limits.integration_id;
END;
COMMENT ON FUNCTION mqtt.outbound_limits(uuid) IS
'What mqtt.outbound_fault compares a message with: whether the integration is switched off, the prefix that topics must have (null: any topic), the largest payload; and the largest batch.';

CREATE OR REPLACE FUNCTION mqtt.outbound_fault(
    is_inactive boolean, required_prefix text, max_bytes integer, topic text, bytes integer
) RETURNS text
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN is_inactive THEN 'integration_inactive'
        WHEN NOT mqtt.topic_is_under(topic, required_prefix) THEN 'topic_not_allowed'
        WHEN bytes > max_bytes THEN 'payload_too_large'
    END;
END;
COMMENT ON FUNCTION mqtt.outbound_fault(boolean, text, integer, text, integer) IS
'Slug of the reason why a payload of this size must not be published to this topic within these limits (mqtt.outbound_limits); null when it may be.';

CREATE OR REPLACE FUNCTION mqtt.refuse_outbound(fault text, detail text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF fault IS NOT NULL THEN
        RAISE EXCEPTION '%', fault USING
            ERRCODE = CASE fault WHEN 'message_invalid' THEN 'PT400' WHEN 'payload_too_large' THEN 'PT413' ELSE 'PT403' END,
            DETAIL = coalesce(detail, CASE fault
                WHEN 'integration_inactive' THEN 'The integration is switched off.'
                WHEN 'topic_not_allowed' THEN 'Topics at the hosted broker must start with the organization''s own prefix.'
                ELSE 'A payload is larger than the organization may publish.'
            END),
            HINT = CASE fault
                WHEN 'integration_inactive' THEN 'An admin can switch it on with upsert_integration, status active.'
                ELSE 'None of the messages was queued.'
            END;
    END IF;
END;
$$;
COMMENT ON FUNCTION mqtt.refuse_outbound(text, text) IS
'Raises the fault, if there is one: a slug of mqtt.outbound_fault, or message_invalid. Without detail it says what the limit is, not which message exceeds it.';
COMMIT;

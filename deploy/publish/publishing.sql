-- Deploy topicbase:publish/publishing to pg
-- requires: base/wake_bridge
-- requires: publish/enqueue_outbound
-- requires: publish/require_open_queue
-- requires: tables/publishers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
-- A function that runs with its owner's rights cannot tell who called it, and whatever its caller tells it may be a lie. The default of a
-- column that nobody may write cannot: it is evaluated as the caller.
CREATE OR REPLACE VIEW mqtt.publishing WITH (security_invoker = true) AS
SELECT NULL::name AS caller, NULL::uuid AS integration_id, NULL::jsonb AS messages, NULL::jsonb AS receipts
WHERE false;
ALTER VIEW mqtt.publishing ALTER COLUMN caller SET DEFAULT current_user;
COMMENT ON VIEW mqtt.publishing IS 'What publishing from SQL inserts into: messages of one call, which its trigger checks and queues. Holds no rows.';
COMMENT ON COLUMN mqtt.publishing.caller IS 'The current user; nobody may write it.';
COMMENT ON COLUMN mqtt.publishing.messages IS 'Array of messages, as api.mqtt_publish takes it.';
COMMENT ON COLUMN mqtt.publishing.receipts IS 'Returned: [{"index", "receipt_id"}].';

CREATE OR REPLACE FUNCTION mqtt.publish_inserted() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_is_operator CONSTANT boolean := pg_has_role(new.caller, 'mqtt_owner', 'usage') OR pg_has_role(new.caller, 'service_role', 'usage');
    v_integration mqtt.device_integrations;
    v_limits record;
    v_messages jsonb;
BEGIN
    SELECT i.* INTO v_integration
    FROM mqtt.device_integrations AS i
    WHERE i.id = new.integration_id AND (
        v_is_operator OR EXISTS (
            SELECT
            FROM mqtt.publishers AS p
            JOIN pg_catalog.pg_roles AS r ON r.rolname = p.role_name
            WHERE p.organization_id = i.organization_id AND p.integration_id = i.id AND pg_has_role(new.caller, r.oid, 'usage')
        )
    );
    IF NOT found THEN
        RAISE EXCEPTION 'publisher_not_granted' USING
            ERRCODE = 'PT403',
            DETAIL = format('The role %s may not publish to integration %s.', new.caller, coalesce(new.integration_id::text, 'null')),
            HINT = 'A database administrator can make the role a publisher of the integration, with grant_publisher.';
    END IF;
    SELECT l.*, o.topic_prefix INTO STRICT v_limits
    FROM mqtt.outbound_limits(v_integration.id) AS l
    JOIN mqtt.organizations AS o ON o.id = v_integration.organization_id;
    PERFORM mqtt.refuse_outbound(CASE WHEN v_limits.is_inactive THEN 'integration_inactive' END);
    PERFORM mqtt.require_open_queue(v_integration.organization_id, 'outbound');
    v_messages := mqtt.outbound_array(new.messages::json, v_limits.max_messages);
    -- Not what mqtt.outbound_limits says, which asks who the session's user is.
    PERFORM mqtt.require_publishable(
        v_messages, CASE WHEN v_integration.integration_type = 'mqtt_hosted' AND NOT v_is_operator THEN v_limits.topic_prefix END, v_limits.max_bytes
    );
    new.receipts := mqtt.enqueue_outbound(v_integration.organization_id, v_integration.id, v_messages);
    PERFORM mqtt.wake_bridge('outbound');
    RETURN new;
END;
$$;
COMMENT ON FUNCTION mqtt.publish_inserted() IS 'Trigger of mqtt.publishing: decides by the caller, checks the messages and queues them in the caller''s transaction.';
CREATE OR REPLACE TRIGGER publish INSTEAD OF INSERT ON mqtt.publishing FOR EACH ROW EXECUTE FUNCTION mqtt.publish_inserted();
GRANT INSERT (integration_id, messages), SELECT (receipts) ON mqtt.publishing TO service_role;
COMMIT;

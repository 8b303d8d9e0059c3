-- Deploy topicbase:api/explain_mqtt_access to pg
-- requires: brokers/access_rules
-- requires: integrations/access
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION api.explain_mqtt_access(credential_id uuid, action text, topic text) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_credential mqtt.mqtt_credentials;
    v_status text;
    v_rule text;
    v_reason text;
    v_words text;
    v_topic CONSTANT text := left(topic, 200);
BEGIN
    SELECT c.* INTO v_credential
    FROM mqtt.mqtt_credentials AS c
    WHERE c.id = explain_mqtt_access.credential_id AND (mqtt.is_operator() OR c.organization_id = ANY (mqtt.current_organization_ids()));
    IF NOT found THEN
        RAISE EXCEPTION 'credential_not_found' USING
            ERRCODE = 'PT404',
            DETAIL = format('No credential %s that you may see.', coalesce(credential_id::text, 'null')),
            HINT = 'get_mqtt_credentials shows yours.';
    END IF;
    PERFORM mqtt.require_organization(v_credential.organization_id, true);
    IF (action IN ('publish', 'subscribe')) IS NOT TRUE THEN
        RAISE EXCEPTION 'action_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'action is publish or subscribe.', HINT = 'For subscribe, topic is the filter that the device asks for.';
    END IF;
    SELECT i.status INTO v_status FROM mqtt.device_integrations AS i WHERE i.id = v_credential.integration_id;
    v_rule := mqtt.access_rule(v_credential, action, topic);
    v_words := CASE action WHEN 'publish' THEN mqtt.topic_name_error(topic) ELSE mqtt.topic_filter_error(topic) END;
    v_reason := CASE
        WHEN v_credential.revoked_at IS NOT NULL THEN 'revoked'
        WHEN v_credential.expires_at <= now() THEN 'expired'
        WHEN v_status = 'inactive' THEN 'integration_inactive'
        WHEN NOT CASE action WHEN 'publish' THEN v_credential.can_publish ELSE v_credential.can_subscribe END THEN action || '_not_allowed'
        WHEN v_words IS NOT NULL THEN 'topic_invalid'
        WHEN v_rule IS NULL THEN 'topic_not_allowed'
        ELSE 'allowed'
    END;
    v_words := CASE v_reason
        WHEN 'revoked' THEN format('No: the credential was revoked at %s.', v_credential.revoked_at)
        WHEN 'expired' THEN format('No: the credential expired at %s.', v_credential.expires_at)
        WHEN 'integration_inactive' THEN 'No: the integration of the credential is switched off.'
        WHEN 'publish_not_allowed' THEN 'No: the credential may only subscribe.'
        WHEN 'subscribe_not_allowed' THEN 'No: the credential may only publish.'
        WHEN 'topic_invalid' THEN 'No: ' || v_words
        WHEN 'topic_not_allowed' THEN CASE action
            WHEN 'publish' THEN format('No: %s matches none of the filters that the credential may publish to.', v_topic)
            ELSE format('No: %s may match topics that none of the filters covers that the credential may subscribe to.', v_topic)
        END
        ELSE CASE action
            WHEN 'publish' THEN format('Yes: %s matches %s.', v_topic, v_rule)
            ELSE format('Yes: all that %s matches lies within %s.', v_topic, v_rule)
        END
    END;
    RETURN jsonb_build_object(
        'allowed', v_reason = 'allowed',
        'reason', v_reason,
        'rule', CASE WHEN v_reason = 'allowed' THEN v_rule END,
        'explanation', v_words,
        'rules', (
            SELECT coalesce(jsonb_agg(r.filter ORDER BY r.filter), '[]')
            FROM mqtt.access_rules(v_credential) AS r
            WHERE r.action = explain_mqtt_access.action
        )
    );
END;
$$;
COMMENT ON FUNCTION api.explain_mqtt_access(uuid, text, text) IS
$md$Explain whether a device may use a topic

action is `publish` (topic: a topic name) or `subscribe` (topic: the filter asked for, which must lie within one that is allowed). Answers
`allowed`, `reason` (`allowed`, `revoked`, `expired`, `integration_inactive`, `publish_not_allowed`, `subscribe_not_allowed`, `topic_invalid`,
`topic_not_allowed`), the `rule` that allows it, all `rules` for that action, and the `explanation` in words. What is said here is what
HTTP ingest and the brokers do, the latter once the bridge is subscribed: until then a hosted broker lets no device in.
Errors: 400 `action_invalid`; 403 `admin_required`; 404 `credential_not_found`.$md$;
GRANT EXECUTE ON FUNCTION api.explain_mqtt_access(uuid, text, text) TO authenticated, service_role;
COMMIT;

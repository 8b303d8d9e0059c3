-- Deploy topicbase:api/explain_mqtt_access to pg
-- requires: brokers/access_rules
-- requires: integrations/access
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.access_explanation(
    reason text, credential mqtt.mqtt_credentials, action text, topic text, topic_error text, rule text
) RETURNS text
LANGUAGE sql STABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT CASE reason
        WHEN 'revoked' THEN format('No: the credential was revoked at %s.', (credential).revoked_at)
        WHEN 'expired' THEN format('No: the credential expired at %s.', (credential).expires_at)
        WHEN 'integration_inactive' THEN 'No: the integration of the credential is switched off.'
        WHEN 'publish_not_allowed' THEN 'No: the credential may only subscribe.'
        WHEN 'subscribe_not_allowed' THEN 'No: the credential may only publish.'
        WHEN 'topic_invalid' THEN 'No: ' || topic_error
        WHEN 'topic_not_allowed' THEN CASE action
            WHEN 'publish' THEN format('No: %s does not match any filter that the credential may publish to.', topic)
            ELSE format('No: %s may match topics outside every filter that the credential may subscribe to.', topic)
        END
        ELSE CASE action
            WHEN 'publish' THEN format('Yes: %s matches %s.', topic, rule)
            ELSE format('Yes: everything that %s matches lies within %s.', topic, rule)
        END
    END;
END;
COMMENT ON FUNCTION mqtt.access_explanation(text, mqtt.mqtt_credentials, text, text, text, text) IS
'The reason that api.explain_mqtt_access answers, as a sentence.';

CREATE OR REPLACE FUNCTION api.explain_mqtt_access(credential_id uuid, action text, topic text) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_credential mqtt.mqtt_credentials;
    v_status text;
    v_rule text;
    v_reason text;
    v_topic_error text;
BEGIN
    SELECT c.* INTO v_credential
    FROM mqtt.mqtt_credentials AS c
    WHERE c.id = explain_mqtt_access.credential_id AND (mqtt.is_operator() OR c.organization_id = ANY (mqtt.current_organization_ids()))
        AND mqtt.key_allows(c.integration_id);
    IF NOT found THEN
        PERFORM mqtt.require_argument('credential_id', credential_id::text);
        RAISE EXCEPTION 'credential_not_found' USING
            ERRCODE = 'PT404',
            DETAIL = format('There is no credential %s that you may see.', credential_id),
            HINT = 'get_mqtt_credentials lists yours.';
    END IF;
    PERFORM mqtt.require_admin(v_credential.organization_id);
    IF (action IN ('publish', 'subscribe')) IS NOT TRUE THEN
        RAISE EXCEPTION 'action_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'action must be publish or subscribe.', HINT = 'For subscribe, topic is the filter that the device subscribes to.';
    END IF;
    SELECT i.status INTO v_status FROM mqtt.device_integrations AS i WHERE i.id = v_credential.integration_id;
    v_rule := mqtt.access_rule(v_credential, action, topic);
    v_topic_error := CASE action WHEN 'publish' THEN mqtt.topic_name_reason(topic) ELSE mqtt.topic_filter_reason(topic) END;
    v_reason := CASE
        WHEN v_credential.revoked_at IS NOT NULL THEN 'revoked'
        WHEN v_credential.expires_at <= now() THEN 'expired'
        WHEN v_status = 'inactive' THEN 'integration_inactive'
        WHEN NOT CASE action WHEN 'publish' THEN v_credential.can_publish ELSE v_credential.can_subscribe END THEN action || '_not_allowed'
        WHEN v_topic_error IS NOT NULL THEN 'topic_invalid'
        WHEN v_rule IS NULL THEN 'topic_not_allowed'
        ELSE 'allowed'
    END;
    RETURN jsonb_build_object(
        'allowed', v_reason = 'allowed',
        'reason', v_reason,
        'rule', CASE WHEN v_reason = 'allowed' THEN v_rule END,
        'explanation', mqtt.access_explanation(v_reason, v_credential, action, left(topic, 200), v_topic_error, v_rule),
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

action is `publish` (topic is a topic name) or `subscribe` (topic is the filter that the device subscribes to, which must lie within an allowed
filter). Returns `allowed`, `reason` (`allowed`, `revoked`, `expired`, `integration_inactive`, `publish_not_allowed`, `subscribe_not_allowed`,
`topic_invalid`, `topic_not_allowed`), the `rule` that allows it, all `rules` for that action, and an `explanation` in words. HTTP ingest and
the brokers decide the same way, except that at a hosted broker no device can log in until the bridge has subscribed.
Errors: 400 `action_invalid`; 403 `admin_required`; 404 `credential_not_found`.
Body: {"action": "publish|subscribe"}
Answer: {"allowed": "boolean",
"reason": "allowed|revoked|expired|integration_inactive|publish_not_allowed|subscribe_not_allowed|topic_invalid|topic_not_allowed",
"rule": "text?", "rules": ["text"], "explanation": "text"}$md$;
GRANT EXECUTE ON FUNCTION api.explain_mqtt_access(uuid, text, text) TO authenticated, service_role;
COMMIT;

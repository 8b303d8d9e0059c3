-- Deploy topicbase:integrations/credential_rules to pg
-- requires: base/configuration
-- requires: integrations/access
-- requires: integrations/broker_url
-- requires: tables/mqtt_credentials
-- requires: topics/filters
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.topic_prefix_reason(prefix text) RETURNS text
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN prefix = '' OR octet_length(prefix) > 512 THEN 'A topic prefix must have 1 to 512 bytes.'
        WHEN prefix ~ '(^/|/$|//)' THEN 'A topic prefix must consist of whole levels, none of them empty, without / at its start or end.'
        ELSE mqtt.topic_name_reason(prefix)
    END;
END;
COMMENT ON FUNCTION mqtt.topic_prefix_reason(text) IS 'Why this is not a topic prefix (whole levels without wildcards), as a sentence; null if it is one.';

CREATE OR REPLACE FUNCTION mqtt.filters_reason(filters text [], prefix text) RETURNS text
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN cardinality(filters) > 100 THEN 'A credential may have at most 100 filters of each kind.' ELSE (
        SELECT CASE
            WHEN f.filter IS NULL OR octet_length(f.filter) > 2048 THEN 'A filter must be a string of 1 to 2,048 bytes.'
            ELSE coalesce(mqtt.topic_filter_reason(f.filter), format('The filter %s is not below the prefix %s/.', left(f.filter, 200), prefix))
        END
        FROM unnest(filters) WITH ORDINALITY AS f (filter, ordinality)
        WHERE f.filter IS NULL OR octet_length(f.filter) > 2048 OR mqtt.topic_filter_reason(f.filter) IS NOT NULL
            OR NOT mqtt.topic_is_under(f.filter, prefix)
        ORDER BY f.ordinality
        LIMIT 1
    ) END;
END;
COMMENT ON FUNCTION mqtt.filters_reason(text [], text) IS 'Why a credential with that prefix cannot have these filters, as a sentence; null if it can.';

CREATE OR REPLACE FUNCTION mqtt.require_credential(credential_id uuid) RETURNS mqtt.mqtt_credentials
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_credential mqtt.mqtt_credentials;
BEGIN
    SELECT c.* INTO v_credential
    FROM mqtt.mqtt_credentials AS c
    WHERE c.id = require_credential.credential_id
        AND (mqtt.is_operator() OR c.organization_id = ANY (mqtt.current_organization_ids()))
        AND mqtt.key_allows(c.integration_id)
    FOR NO KEY UPDATE;
    IF NOT found THEN
        PERFORM mqtt.require_argument('credential_id', credential_id::text);
        RAISE EXCEPTION 'credential_not_found' USING
            ERRCODE = 'PT404',
            DETAIL = format('There is no credential %s that you may see.', credential_id),
            HINT = 'get_mqtt_credentials lists yours.';
    END IF;
    PERFORM mqtt.require_admin(v_credential.organization_id);
    RETURN v_credential;
END;
$$;
COMMENT ON FUNCTION mqtt.require_credential(uuid) IS
'The credential, locked, if the caller may see it (else PT404 credential_not_found) and is an admin of its organization (else PT403 admin_required).';

CREATE OR REPLACE FUNCTION mqtt.require_login_room(organization_id uuid) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_most integer;
BEGIN
    -- Two calls at once must not both find the last place free.
    SELECT o.max_logins INTO v_most FROM mqtt.organizations AS o WHERE o.id = require_login_room.organization_id FOR NO KEY UPDATE;
    v_most := coalesce(v_most, (SELECT c.max_logins FROM mqtt.configuration AS c));
    IF v_most <= (
        SELECT count(*)
        FROM mqtt.mqtt_credentials AS c
        WHERE c.organization_id = require_login_room.organization_id AND c.revoked_at IS NULL AND (c.expires_at > now()) IS NOT FALSE
    ) THEN
        RAISE EXCEPTION 'login_limit_reached' USING
            ERRCODE = 'PT409',
            DETAIL = format('Your organization has %s valid credentials, and may have no more.', v_most),
            HINT = 'Revoke some that are not used, or ask the operator to raise max_logins.';
    END IF;
END;
$$;
COMMENT ON FUNCTION mqtt.require_login_room(uuid) IS 'Raises PT409 login_limit_reached if the organization already has as many valid credentials as it may have.';

CREATE OR REPLACE FUNCTION mqtt.credential_json(credential mqtt.mqtt_credentials) RETURNS jsonb
LANGUAGE sql STABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT jsonb_build_object(
        'id', credential.id,
        'credential_id', credential.id,
        'organization_id', credential.organization_id,
        'integration_id', credential.integration_id,
        'device_id', credential.device_id,
        'member_id', credential.member_id,
        'username', credential.username,
        'client_id', credential.client_id,
        'topic_prefix', credential.topic_prefix,
        'broker_url', (SELECT mqtt.broker_url(i) FROM mqtt.device_integrations AS i WHERE i.organization_id = credential.organization_id AND i.id = credential.integration_id),
        'can_publish', credential.can_publish,
        'can_subscribe', credential.can_subscribe,
        'publish_filters', to_jsonb(credential.publish_filters),
        'subscribe_filters', to_jsonb(credential.subscribe_filters),
        'max_per_second', credential.max_per_second,
        'max_burst', credential.max_burst,
        'status', CASE WHEN credential.revoked_at IS NOT NULL THEN 'revoked' WHEN credential.expires_at <= now() THEN 'expired' ELSE 'active' END,
        'expires_at', credential.expires_at,
        'revoked_at', credential.revoked_at,
        'rotated_at', credential.rotated_at,
        'previous_until', credential.previous_until,
        'created_at', credential.created_at,
        'last_connected_at', credential.last_connected_at,
        'connection_count', credential.connection_count
    );
END;
COMMENT ON FUNCTION mqtt.credential_json(mqtt.mqtt_credentials) IS $md$A credential as the API shows it, without verifier and hashes. credential_id is another name of id.
Answer: {"...": "mqtt_credentials", "credential_id": "uuid"}$md$;
COMMIT;

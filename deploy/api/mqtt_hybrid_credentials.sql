-- Deploy topicbase:api/mqtt_hybrid_credentials to pg
-- requires: api/generate_mqtt_credentials
-- requires: api/mqtt_credentials
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION api.mqtt_hybrid_credentials(
    action text, integration_id uuid, organization_id uuid DEFAULT NULL, credential_id uuid DEFAULT NULL, device_id text DEFAULT NULL,
    client_id text DEFAULT NULL, topic_prefix text DEFAULT NULL, expires_at timestamptz DEFAULT NULL
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_integration mqtt.device_integrations := mqtt.require_integration(
        mqtt_hybrid_credentials.integration_id, mqtt_hybrid_credentials.organization_id, true
    );
BEGIN
    CASE action
        WHEN 'generate' THEN
            RETURN api.generate_mqtt_credentials(
                v_integration.id, mqtt_hybrid_credentials.device_id, mqtt_hybrid_credentials.client_id, mqtt_hybrid_credentials.topic_prefix,
                mqtt_hybrid_credentials.expires_at
            );
        WHEN 'get' THEN
            RETURN jsonb_build_object('credentials', coalesce(
                (SELECT jsonb_agg(c) FROM api.get_mqtt_credentials(v_integration.id, mqtt_hybrid_credentials.credential_id) AS c), '[]'
            ));
        WHEN 'revoke' THEN
            IF NOT EXISTS (
                SELECT FROM mqtt.mqtt_credentials AS c WHERE c.id = mqtt_hybrid_credentials.credential_id AND c.integration_id = v_integration.id
            ) THEN
                RAISE EXCEPTION 'credential_not_found' USING
                    ERRCODE = 'PT404',
                    DETAIL = format('The integration has no credential %s.', coalesce(credential_id::text, 'null')),
                    HINT = 'action get shows its credentials; credential_id names one.';
            END IF;
            RETURN api.revoke_mqtt_credentials(mqtt_hybrid_credentials.credential_id);
        ELSE
            RAISE EXCEPTION 'action_invalid' USING
                ERRCODE = 'PT400', DETAIL = 'action is generate, get or revoke.', HINT = 'Or call generate_mqtt_credentials and its like themselves.';
    END CASE;
END;
$$;
COMMENT ON FUNCTION api.mqtt_hybrid_credentials(text, uuid, uuid, uuid, text, text, text, timestamptz) IS
$md$Generate, get or revoke device logins

For clients of `/functions/v1/mqtt-hybrid/credentials`: action `generate` answers as generate_mqtt_credentials, `get`
`{"credentials": [...]}` as get_mqtt_credentials, `revoke` (with credential_id) as revoke_mqtt_credentials.
Errors: 400 `action_invalid` and those of the calls named; 403 `admin_required`; 404 `integration_not_found`, `credential_not_found`.$md$;
GRANT EXECUTE ON FUNCTION api.mqtt_hybrid_credentials(text, uuid, uuid, uuid, text, text, text, timestamptz) TO authenticated, service_role;
COMMIT;

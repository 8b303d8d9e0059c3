-- Deploy topicbase:api/mqtt_hybrid_credentials to pg
-- requires: api/generate_mqtt_credentials
-- requires: api/mqtt_credentials
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION api.mqtt_hybrid_credentials(
    action text, integration_id uuid, organization_id uuid DEFAULT NULL, credential_id uuid DEFAULT NULL, device_id text DEFAULT NULL,
    client_id text DEFAULT NULL, topic_prefix text DEFAULT NULL, expires_at timestamptz DEFAULT NULL, external_id text DEFAULT NULL
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
                mqtt_hybrid_credentials.expires_at, external_id => mqtt_hybrid_credentials.external_id
            );
        WHEN 'get' THEN
            RETURN jsonb_build_object('credentials', coalesce(
                (SELECT jsonb_agg(c) FROM api.get_mqtt_credentials(v_integration.id, mqtt_hybrid_credentials.credential_id) AS c), '[]'
            ));
        WHEN 'revoke' THEN
            IF NOT EXISTS (
                SELECT FROM mqtt.mqtt_credentials AS c WHERE c.id = mqtt_hybrid_credentials.credential_id AND c.integration_id = v_integration.id
            ) THEN
                PERFORM mqtt.require_argument('credential_id', credential_id::text);
                RAISE EXCEPTION 'credential_not_found' USING
                    ERRCODE = 'PT404',
                    DETAIL = format('The integration does not have a credential %s.', credential_id),
                    HINT = 'Action get lists its credentials.';
            END IF;
            RETURN api.revoke_mqtt_credentials(mqtt_hybrid_credentials.credential_id);
        ELSE
            RAISE EXCEPTION 'action_invalid' USING
                ERRCODE = 'PT400', DETAIL = 'action must be generate, get or revoke.', HINT = 'You may also call generate_mqtt_credentials, get_mqtt_credentials and revoke_mqtt_credentials.';
    END CASE;
END;
$$;
COMMENT ON FUNCTION api.mqtt_hybrid_credentials(text, uuid, uuid, uuid, text, text, text, timestamptz, text) IS
$md$Generate, get or revoke device logins

For clients of `/functions/v1/mqtt-hybrid/credentials`. Action `generate` returns what generate_mqtt_credentials returns; `get` returns
`{"credentials": [...]}` with the rows of get_mqtt_credentials; `revoke` (with credential_id) returns what revoke_mqtt_credentials returns.
Errors: 400 `action_invalid`; 403 `admin_required`; 404 `integration_not_found`, `credential_not_found`; for `generate` also
those of generate_mqtt_credentials.
Body: {"action": "generate|get|revoke"}
Answer: {"|": [{"...": "mqtt.credential_json", "password": "text"}, {"credentials": ["mqtt.credential_json"]}, "mqtt.credential_json"]}$md$;
GRANT EXECUTE ON FUNCTION api.mqtt_hybrid_credentials(text, uuid, uuid, uuid, text, text, text, timestamptz, text) TO authenticated, service_role;
COMMIT;

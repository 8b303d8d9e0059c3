-- Deploy topicbase:api/delete_mqtt_credentials to pg
-- requires: integrations/credential_rules
-- requires: tables/log_activity
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION api.delete_mqtt_credentials(
    credential_id uuid DEFAULT NULL, integration_id uuid DEFAULT NULL, ended_before timestamptz DEFAULT NULL, "limit" integer DEFAULT 1000
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_organization_id uuid;
    v_deleted jsonb;
BEGIN
    IF (delete_mqtt_credentials.credential_id IS NULL) = (delete_mqtt_credentials.integration_id IS NULL) THEN
        RAISE EXCEPTION 'argument_conflict' USING
            ERRCODE = 'PT400', DETAIL = 'credential_id names one login, integration_id those of an integration.', HINT = 'Send one of the two.';
    ELSIF (delete_mqtt_credentials."limit" BETWEEN 1 AND 10000) IS NOT TRUE THEN
        RAISE EXCEPTION 'limit_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'limit is a whole number from 1 to 10000.', HINT = 'Call it again while more is true.';
    ELSIF delete_mqtt_credentials.integration_id IS NOT NULL THEN
        v_organization_id := (mqtt.require_integration(delete_mqtt_credentials.integration_id, NULL, true)).organization_id;
    ELSE
        v_organization_id := (mqtt.require_credential(delete_mqtt_credentials.credential_id)).organization_id;
    END IF;
    WITH gone AS (
        DELETE FROM mqtt.mqtt_credentials AS c
        WHERE c.id = ANY (ARRAY(
            SELECT x.id
            FROM mqtt.mqtt_credentials AS x
            WHERE x.organization_id = v_organization_id AND x.integration_id = coalesce(delete_mqtt_credentials.integration_id, x.integration_id)
                AND x.id = coalesce(delete_mqtt_credentials.credential_id, x.id) AND least(x.revoked_at, x.expires_at) <= clock_timestamp()
                -- Brokers that check at login alone are told of them for as long.
                AND least(x.revoked_at, x.expires_at) < coalesce(
                    delete_mqtt_credentials.ended_before, CASE WHEN delete_mqtt_credentials.credential_id IS NULL THEN now() - interval '7 days' ELSE 'infinity' END
                )
            ORDER BY x.id
            LIMIT delete_mqtt_credentials."limit"
            FOR UPDATE
        ))
        RETURNING c.id, c.integration_id, c.username
    )
    SELECT coalesce(jsonb_agg(jsonb_build_object('credential_id', g.id, 'integration_id', g.integration_id, 'username', g.username)), '[]')
    INTO v_deleted
    FROM gone AS g;
    IF delete_mqtt_credentials.credential_id IS NOT NULL AND v_deleted = '[]' THEN
        RAISE EXCEPTION 'credential_active' USING
            ERRCODE = 'PT409', DETAIL = 'The login is neither revoked nor expired.', HINT = 'Revoke it first: revoke_mqtt_credentials.';
    END IF;
    PERFORM mqtt.log_activity(
        v_organization_id, (d.value ->> 'integration_id')::uuid, 'credential_deleted',
        details => d.value - 'integration_id' || jsonb_build_object('user_id', mqtt.current_user_id())
    )
    FROM jsonb_array_elements(v_deleted) AS d;
    RETURN jsonb_build_object('deleted', jsonb_array_length(v_deleted), 'more', jsonb_array_length(v_deleted) >= delete_mqtt_credentials."limit");
END;
$$;
COMMENT ON FUNCTION api.delete_mqtt_credentials(uuid, uuid, timestamptz, integer) IS
$md$Delete logins that have ended

For admins. Deletes the row of a login that was revoked or has expired: the one that credential_id names, or those of an integration that ended before
ended_before (default: seven days ago, as brokers that check logins only once are told about them until then), at most limit (1 to 10,000). Answers
`{"deleted", "more"}`: call it again while `more` is true. Messages that the login sent stay.
Errors: 400 `argument_conflict`, `limit_invalid`; 403 `admin_required`; 404 `credential_not_found`, `integration_not_found`; 409 `credential_active`.
Answer: {"deleted": "integer", "more": "boolean"}$md$;
GRANT EXECUTE ON FUNCTION api.delete_mqtt_credentials(uuid, uuid, timestamptz, integer) TO authenticated, service_role;
COMMIT;

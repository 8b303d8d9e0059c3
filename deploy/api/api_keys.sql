-- Deploy topicbase:api/api_keys to pg
-- requires: base/passwords
-- requires: integrations/access
-- requires: integrations/api_keys
-- requires: tables/log_activity
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.check_api_key(organization_id uuid, name text, scope text, integration_ids uuid [], expires_at timestamptz) RETURNS void
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_unknown uuid := (
        SELECT u.id
        FROM unnest(check_api_key.integration_ids) AS u (id)
        WHERE NOT EXISTS (SELECT FROM mqtt.device_integrations AS i WHERE i.organization_id = check_api_key.organization_id AND i.id = u.id)
        LIMIT 1
    );
BEGIN
    IF (length(name) BETWEEN 1 AND 200) IS NOT TRUE THEN
        RAISE EXCEPTION 'name_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'name must be a string of 1 to 200 characters.', HINT = 'The name tells which app has the key.';
    ELSIF (scope IN ('read', 'publish', 'admin')) IS NOT TRUE THEN
        RAISE EXCEPTION 'scope_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'scope must be read, publish or admin.', HINT = 'Each may do what those before it may.';
    ELSIF expires_at <= now() THEN
        RAISE EXCEPTION 'expires_at_invalid' USING ERRCODE = 'PT400', DETAIL = 'expires_at must lie in the future.', HINT = 'Omit it for a key that does not expire.';
    ELSIF v_unknown IS NOT NULL OR cardinality(integration_ids) NOT BETWEEN 1 AND 100 OR array_position(integration_ids, NULL) IS NOT NULL THEN
        RAISE EXCEPTION 'integration_not_found' USING
            ERRCODE = 'PT404',
            DETAIL = coalesce(
                format('There is no integration %s in the organization.', v_unknown), 'integration_ids must have 1 to 100 ids of integrations.'
            ),
            HINT = 'Omit integration_ids for all integrations; GET /device_integrations lists them.';
    END IF;
END;
$$;
COMMENT ON FUNCTION mqtt.check_api_key(uuid, text, text, uuid [], timestamptz) IS 'Raises what is wrong with the arguments of create_api_key.';

CREATE OR REPLACE FUNCTION api.create_api_key(
    organization_id uuid, name text, scope text DEFAULT 'read', integration_ids uuid [] DEFAULT NULL, expires_at timestamptz DEFAULT NULL
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_key text := 'tbk_' || mqtt.random_password();
    v_most integer := (SELECT c.max_api_keys FROM mqtt.configuration AS c);
    v_row mqtt.api_keys;
BEGIN
    PERFORM mqtt.require_organization(create_api_key.organization_id, true);
    PERFORM mqtt.check_api_key(
        create_api_key.organization_id, create_api_key.name, create_api_key.scope, create_api_key.integration_ids, create_api_key.expires_at
    );
    -- Two calls at once must not both find the last place free.
    PERFORM FROM mqtt.organizations AS o WHERE o.id = create_api_key.organization_id FOR NO KEY UPDATE;
    -- It may have been deleted while this waited.
    PERFORM mqtt.require_organization(create_api_key.organization_id, true);
    DELETE FROM mqtt.api_keys AS k WHERE k.organization_id = create_api_key.organization_id AND k.expires_at < now() - interval '30 days';
    IF v_most <= (SELECT count(*) FROM mqtt.api_keys AS k WHERE k.organization_id = create_api_key.organization_id) THEN
        RAISE EXCEPTION 'api_key_limit_reached' USING
            ERRCODE = 'PT409', DETAIL = format('The organization has %s API keys, as many as it may have.', v_most), HINT = 'Revoke one that is not used.';
    END IF;
    INSERT INTO mqtt.api_keys AS k (organization_id, name, key_hash, key_start, scope, integration_ids, expires_at, created_by)
    VALUES (
        create_api_key.organization_id, create_api_key.name, sha256(convert_to(v_key, 'UTF8')), left(v_key, 8), create_api_key.scope,
        create_api_key.integration_ids, nullif(create_api_key.expires_at, 'infinity'), mqtt.current_user_id()
    )
    RETURNING k.* INTO v_row;
    PERFORM mqtt.log_activity(
        v_row.organization_id, NULL, 'api_key_created',
        details => jsonb_build_object('key_id', v_row.id, 'name', v_row.name, 'scope', v_row.scope, 'user_id', mqtt.current_user_id())
    );
    PERFORM set_config('response.headers', '[{"Cache-Control": "no-store"}]', true);
    RETURN to_jsonb(v_row) - 'key_hash' || jsonb_build_object('key', v_key);
END;
$$;
COMMENT ON FUNCTION api.create_api_key(uuid, text, text, uuid [], timestamptz) IS
$md$Create an API key for an app

The answer is the only place that ever shows `key`, which the app sends as `X-API-Key`. scope is `read`, `publish` (which may also read, publish,
and register devices) or `admin` (which may do what an admin may, but not manage members and keys). With integration_ids the key sees only these
integrations, and nothing that is about the whole organization. It works until expires_at, or until it is revoked. A key cannot make keys: a user does.
Errors: 400 `name_invalid`, `scope_invalid`, `expires_at_invalid`; 403 `admin_required`; 404 `organization_not_found`, `integration_not_found`;
409 `api_key_limit_reached`.
Body: {"scope": "read|publish|admin"}
Answer: {"...": "mqtt.api_keys", "-": ["key_hash"], "key": "text"}$md$;
GRANT EXECUTE ON FUNCTION api.create_api_key(uuid, text, text, uuid [], timestamptz) TO authenticated, service_role;

CREATE OR REPLACE FUNCTION api.list_api_keys(organization_id uuid) RETURNS SETOF jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM mqtt.require_organization(list_api_keys.organization_id, true);
    RETURN QUERY
    SELECT to_jsonb(k) - 'key_hash' FROM mqtt.api_keys AS k WHERE k.organization_id = list_api_keys.organization_id ORDER BY k.created_at DESC, k.id;
END;
$$;
COMMENT ON FUNCTION api.list_api_keys(uuid) IS
$md$List API keys

For admins, newest first, expired ones too for 30 days. The keys themselves are never shown: key_start is how each begins, last_used_at is to the
hour, and may lag by as much as it takes a bridge to be there.
Errors: 403 `admin_required`; 404 `organization_not_found`.
Answer: {"...": "mqtt.api_keys", "-": ["key_hash"]}$md$;
GRANT EXECUTE ON FUNCTION api.list_api_keys(uuid) TO authenticated, service_role;

CREATE OR REPLACE FUNCTION api.revoke_api_key(key_id uuid) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_row mqtt.api_keys;
BEGIN
    DELETE FROM mqtt.api_keys AS k
    WHERE k.id = revoke_api_key.key_id AND (mqtt.is_operator() OR k.organization_id = ANY (mqtt.current_organization_ids(true)))
    RETURNING k.* INTO v_row;
    IF NOT found THEN
        PERFORM mqtt.require_argument('key_id', key_id::text);
        RAISE EXCEPTION 'api_key_not_found' USING
            ERRCODE = 'PT404', DETAIL = format('There is no key %s that you may revoke.', key_id), HINT = 'list_api_keys shows yours.';
    END IF;
    PERFORM mqtt.log_activity(
        v_row.organization_id, NULL, 'api_key_revoked',
        details => jsonb_build_object('key_id', v_row.id, 'name', v_row.name, 'user_id', mqtt.current_user_id())
    );
    RETURN to_jsonb(v_row) - 'key_hash';
END;
$$;
COMMENT ON FUNCTION api.revoke_api_key(uuid) IS
$md$Revoke an API key

For admins. Its next request is refused. Returns the removed row.
Errors: 404 `api_key_not_found`.
Answer: {"...": "mqtt.api_keys", "-": ["key_hash"]}$md$;
GRANT EXECUTE ON FUNCTION api.revoke_api_key(uuid) TO authenticated, service_role;
COMMIT;

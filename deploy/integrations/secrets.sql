-- Deploy topicbase:integrations/secrets to pg
-- requires: base/codecs
-- requires: base/configuration
-- requires: integrations/setting_rules
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.sealing_key_id(public_key bytea) RETURNS text
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT left(encode(sha256(public_key), 'hex'), 16);
END;
COMMENT ON FUNCTION mqtt.sealing_key_id(bytea) IS 'The id that is stored with a sealed value to name its key pair: 16 digits of the SHA-256 of the public key.';

CREATE OR REPLACE FUNCTION mqtt.sealed(label text, secret text) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_key bytea := (SELECT c.sealing_public_key FROM mqtt.configuration AS c);
    v_box bytea;
BEGIN
    IF v_key IS NULL THEN
        RAISE EXCEPTION 'sealing_unavailable' USING
            ERRCODE = 'PT400',
            DETAIL = format('%s cannot be stored: this installation has no sealing key yet, and secrets are never stored in clear text.', label),
            HINT = 'Ask the operator to run topicbase keygen.';
    ELSIF to_regprocedure('mqtt.py_seal(bytea, text)') IS NULL THEN
        RAISE EXCEPTION 'sealing_unavailable' USING
            ERRCODE = 'PT400',
            DETAIL = format('%s cannot be sealed here: the database has no PL/Python, and secrets are never stored in clear text.', label),
            HINT = format(
                'Seal it yourself (libsodium crypto_box_seal, public key %s) and send {"sealed": "<base64>"}.',
                encode(v_key, 'base64')
            );
    END IF;
    BEGIN
        EXECUTE 'SELECT mqtt.py_seal($1, $2)' INTO v_box USING v_key, secret;
    EXCEPTION
        WHEN external_routine_exception OR undefined_file OR internal_error OR insufficient_privilege THEN
            v_box := NULL;
    END;
    IF v_box IS NULL THEN
        RAISE EXCEPTION 'sealing_unavailable' USING
            ERRCODE = 'PT400',
            DETAIL = format('%s could not be sealed with this installation''s key.', label),
            HINT = 'SELECT * FROM mqtt.codecs() tells the operator why; topicbase keygen generates a new key.';
    END IF;
    RETURN jsonb_build_object('sealed', translate(encode(v_box, 'base64'), E'\n', ''), 'key', mqtt.sealing_key_id(v_key));
END;
$$;
COMMENT ON FUNCTION mqtt.sealed(text, text) IS
'The secret as it may be stored: {"sealed": base64 of a libsodium sealed box, "key": id of the key}. Raises PT400 sealing_unavailable, which has the label, if it cannot be sealed.';

CREATE OR REPLACE FUNCTION mqtt.sealed_setting(name text, value jsonb) RETURNS jsonb
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN jsonb_typeof(value) = 'object' THEN value ELSE mqtt.sealed('settings.' || name, value #>> '{}') END;
$$;
COMMENT ON FUNCTION mqtt.sealed_setting(text, jsonb) IS 'A secret among an integration''s settings as it may be stored: sealed here, or already sealed by the caller.';

CREATE OR REPLACE FUNCTION mqtt.is_resealed(old_settings jsonb, new_settings jsonb) RETURNS boolean
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT old_settings <> new_settings
        AND old_settings - mqtt.secret_setting_names() = new_settings - mqtt.secret_setting_names()
        AND NOT EXISTS (
            SELECT FROM unnest(mqtt.secret_setting_names()) AS n (name)
            WHERE old_settings -> n.name IS DISTINCT FROM new_settings -> n.name
                AND (
                    jsonb_typeof(old_settings -> n.name) = 'object' AND jsonb_typeof(new_settings -> n.name) = 'object'
                    AND mqtt.setting_reason(n.name, new_settings -> n.name) IS NULL
                ) IS NOT TRUE
        );
END;
COMMENT ON FUNCTION mqtt.is_resealed(jsonb, jsonb) IS 'Whether only the sealed boxes of secrets have changed.';

CREATE OR REPLACE FUNCTION mqtt.visible_settings(settings jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT (settings - mqtt.secret_setting_names())
        || CASE WHEN settings ? 'password' THEN '{"has_password": true}'::jsonb ELSE '{}' END
        || CASE WHEN settings ? 'client_key' THEN '{"has_client_key": true}'::jsonb ELSE '{}' END;
END;
COMMENT ON FUNCTION mqtt.visible_settings(jsonb) IS 'The settings as they may be read: has_password and has_client_key replace the secrets.';
GRANT EXECUTE ON FUNCTION mqtt.visible_settings(jsonb) TO authenticated, service_role;
COMMIT;

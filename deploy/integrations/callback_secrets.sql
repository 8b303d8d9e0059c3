-- Deploy topicbase:integrations/callback_secrets to pg
-- requires: base/passwords
-- requires: integrations/access
-- requires: integrations/secrets
-- requires: tables/log_activity
-- requires: tables/mqtt_callbacks
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.set_callback_secret(
    organization_id uuid, subscription_id uuid, given jsonb DEFAULT NULL, grace interval DEFAULT '0', only_if_none boolean DEFAULT false
) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_secret text;
    v_sealed jsonb := given;
BEGIN
    PERFORM mqtt.require_integration(
        (
            SELECT s.integration_id
            FROM mqtt.mqtt_subscriptions AS s
            WHERE s.organization_id = set_callback_secret.organization_id AND s.id = set_callback_secret.subscription_id
        ), set_callback_secret.organization_id, true
    );
    IF only_if_none AND given IS NULL AND EXISTS (
        SELECT FROM mqtt.callback_secrets AS k
        WHERE k.organization_id = set_callback_secret.organization_id AND k.subscription_id = set_callback_secret.subscription_id
    ) THEN
        RETURN NULL;
    END IF;
    IF given IS NULL THEN
        v_secret := 'whsec_' || translate(encode(mqtt.random_bytes(32), 'base64'), E'\n', '');
        v_sealed := mqtt.sealed('callback_secret', v_secret);
    -- A sealed box is 48 bytes longer than its content; the shortest secret is whsec_ and 24 bytes in base64 (Standard Webhooks).
    ELSIF (
        jsonb_typeof(given) = 'object' AND given - 'sealed' = '{}' AND jsonb_typeof(given -> 'sealed') = 'string'
        AND octet_length(given ->> 'sealed') BETWEEN 112 AND 1000
        AND given ->> 'sealed' ~ '^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)?$'
    ) IS NOT TRUE THEN
        RAISE EXCEPTION 'callback_secret_invalid' USING
            ERRCODE = 'PT400',
            DETAIL = 'callback_secret must be {"sealed": "<base64>"}; a secret in clear text is rejected.',
            HINT = 'Omit it to have one generated, or seal "whsec_<base64 of 24 to 64 bytes>" with this installation''s public key.';
    END IF;
    INSERT INTO mqtt.callback_secrets AS k (organization_id, subscription_id, sealed)
    VALUES (set_callback_secret.organization_id, set_callback_secret.subscription_id, v_sealed)
    ON CONFLICT ON CONSTRAINT callback_secrets_pkey DO UPDATE
    SET previous = CASE WHEN grace > '0' THEN k.sealed END,
        previous_until = CASE WHEN grace > '0' THEN clock_timestamp() + grace END,
        sealed = excluded.sealed,
        created_at = clock_timestamp();
    PERFORM mqtt.log_activity(
        k.organization_id, k.integration_id, 'callback_secret_set',
        details => jsonb_build_object('subscription_id', k.id, 'user_id', mqtt.current_user_id())
    )
    FROM mqtt.mqtt_subscriptions AS k
    WHERE k.organization_id = set_callback_secret.organization_id AND k.id = set_callback_secret.subscription_id;
    RETURN v_secret;
END;
$$;
COMMENT ON FUNCTION mqtt.set_callback_secret(uuid, uuid, jsonb, interval, boolean) IS
$md$Gives a subscription the secret that its requests are signed with: one generated here, which is returned in clear text, or one that the caller sealed
For the time of grace the old secret signs as well. With only_if_none a subscription that has a secret keeps it, and null is returned.
Errors: 400 `callback_secret_invalid`, `sealing_unavailable`; 403 `admin_required`; 404 `integration_not_found`.$md$;
GRANT EXECUTE ON FUNCTION mqtt.set_callback_secret(uuid, uuid, jsonb, interval, boolean) TO authenticated, service_role;
COMMIT;

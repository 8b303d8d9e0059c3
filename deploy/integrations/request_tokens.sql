-- Deploy topicbase:integrations/request_tokens to pg
-- requires: integrations/api_keys
-- requires: integrations/call_places
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.check_claims(has_key boolean) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_claims CONSTANT jsonb := nullif(current_setting('request.jwt.claims', true), '');
BEGIN
    -- A key's claims come from the database.
    IF NOT has_key AND (
        jsonb_typeof(v_claims -> 'exp') IS DISTINCT FROM 'number' OR (jsonb_typeof(v_claims -> 'aud') IN ('string', 'array')) IS NOT TRUE
    ) THEN
        RAISE EXCEPTION 'token_incomplete' USING
            ERRCODE = 'PT401',
            DETAIL = 'The token has no exp or no aud.',
            HINT = 'A token says until when it is valid (exp) and for whom it is meant (aud): RFC 7519 section 4.1.';
    ELSIF NOT has_key AND v_claims ? 'api_key' THEN
        RAISE EXCEPTION 'claim_reserved' USING
            ERRCODE = 'PT401', DETAIL = 'The token has a claim api_key.', HINT = 'Only the database gives that claim, to a request with X-API-Key.';
    END IF;
    IF current_setting('role') = 'authenticated' THEN
        PERFORM mqtt.take_call_place();
    END IF;
    -- The planner's estimate is made from statistics of all organizations' rows: it tells how common a value is among others.
    IF current_setting('role') = 'authenticated'
        AND nullif(current_setting('request.headers', true), '')::jsonb ->> 'prefer' ~* 'count\s*=\s*(planned|estimated)' THEN
        RAISE EXCEPTION 'count_not_offered' USING
            ERRCODE = 'PT400', DETAIL = 'Estimates of counts are not given.', HINT = 'Prefer: count=exact counts the rows that you may see.';
    END IF;
END;
$$;
COMMENT ON FUNCTION mqtt.check_claims(boolean) IS 'What a request is asked for that has a token, or a key in its place. A part of mqtt.check_token.';
GRANT EXECUTE ON FUNCTION mqtt.check_claims(boolean) TO authenticated, service_role;

CREATE OR REPLACE FUNCTION mqtt.check_token() RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_key text;
BEGIN
    -- Most of what comes is a device's message: without a token, and in a session that knows the time limits. Each expression counts here.
    IF current_setting('role') = 'anon' AND coalesce(current_setting('topicbase.anon_statement_timeout', true), '') <> ''
        AND (position('"x-api-key":' IN current_setting('request.headers', true)) > 0) IS NOT TRUE
        AND set_config('statement_timeout', current_setting('topicbase.anon_statement_timeout'), true) IS NOT NULL
        AND set_config('lock_timeout', current_setting('topicbase.anon_lock_timeout'), true) IS NOT NULL THEN
        RETURN;
    END IF;
    IF position('"x-api-key":' IN current_setting('request.headers', true)) > 0 THEN
        v_key := current_setting('request.headers')::json ->> 'x-api-key';
    END IF;
    IF v_key IS NOT NULL THEN
        IF current_setting('role') <> 'anon' THEN
            RAISE EXCEPTION 'login_conflict' USING
                ERRCODE = 'PT400', DETAIL = 'The request has a token and an API key.', HINT = 'Send either Authorization: Bearer or X-API-Key.';
        END IF;
        PERFORM mqtt.use_api_key(v_key, current_setting('request.path', true));
    END IF;
    -- PostgREST applies what is set for the role in all databases, as PostgreSQL does at login; this is what is set for it in this one, and all of it
    -- for the role that a key has just given.
    PERFORM set_config(split_part(c.setting, '=', 1), split_part(c.setting, '=', 2), true)
    FROM pg_catalog.pg_database AS d
    INNER JOIN pg_catalog.pg_db_role_setting AS s ON s.setrole = to_regrole(quote_ident(current_user))
        AND (s.setdatabase = d.oid OR (s.setdatabase = 0 AND v_key IS NOT NULL))
    CROSS JOIN unnest(s.setconfig) AS c (setting)
    WHERE d.datname = current_database() AND c.setting ~ '^(statement|lock)_timeout='
    ORDER BY s.setdatabase;
    IF current_setting('role') = 'anon' THEN
        PERFORM set_config('topicbase.anon_statement_timeout', current_setting('statement_timeout'), false),
            set_config('topicbase.anon_lock_timeout', current_setting('lock_timeout'), false);
        RETURN;
    END IF;
    PERFORM mqtt.check_claims(v_key IS NOT NULL);
END;
$$;
COMMENT ON FUNCTION mqtt.check_token() IS
'For PostgREST''s db-pre-request. With X-API-Key: mqtt.use_api_key. With a token: raises PT401 token_incomplete for a token without exp or aud, which PostgREST itself would take for one that is valid for ever and for everyone. What they say is checked by PostgREST. Applies the time limits that the role has in this database (of anon looked up once in each session), and takes a place among the calls of the member''s organization (mqtt.take_call_place).';
-- To find it by its name, anon needs the schema, in which it has nothing else.
GRANT USAGE ON SCHEMA mqtt TO anon;
GRANT EXECUTE ON FUNCTION mqtt.check_token() TO anon, authenticated, service_role;
COMMIT;

-- Deploy topicbase:base/request_tokens to pg
-- requires: base/verify_helpers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.check_token() RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_claims jsonb;
BEGIN
    -- PostgREST applies what is set for the role in all databases, as PostgreSQL does at login; this is what is set for it in this one.
    PERFORM set_config(split_part(c.setting, '=', 1), split_part(c.setting, '=', 2), true)
    FROM pg_catalog.pg_database AS d
    INNER JOIN pg_catalog.pg_db_role_setting AS s ON s.setdatabase = d.oid AND s.setrole = to_regrole(quote_ident(current_user))
    CROSS JOIN unnest(s.setconfig) AS c (setting)
    WHERE d.datname = current_database() AND c.setting ~ '^(statement|lock)_timeout=';
    -- A device's message comes without a token: nothing to look at.
    IF current_setting('role') = 'anon' THEN
        RETURN;
    END IF;
    v_claims := nullif(current_setting('request.jwt.claims', true), '');
    IF jsonb_typeof(v_claims -> 'exp') IS DISTINCT FROM 'number'
        OR (jsonb_typeof(v_claims -> 'aud') IN ('string', 'array')) IS NOT TRUE THEN
        RAISE EXCEPTION 'token_incomplete' USING
            ERRCODE = 'PT401',
            DETAIL = 'The token has no exp or no aud.',
            HINT = 'A token says until when it is valid (exp) and for whom it is meant (aud): RFC 7519 section 4.1.';
    END IF;
    -- The planner's estimate is made from statistics of all organizations' rows: it tells how common a value is among others.
    IF current_setting('role') = 'authenticated'
        AND nullif(current_setting('request.headers', true), '')::jsonb ->> 'prefer' ~* 'count\s*=\s*(planned|estimated)' THEN
        RAISE EXCEPTION 'count_not_offered' USING
            ERRCODE = 'PT400', DETAIL = 'Estimates of counts are not given.', HINT = 'Prefer: count=exact counts the rows that you may see.';
    END IF;
END;
$$;
COMMENT ON FUNCTION mqtt.check_token() IS
'For PostgREST''s db-pre-request: raises PT401 token_incomplete for a token without exp or aud, which PostgREST itself would take for one that is valid for ever and for everyone. What they say is checked by PostgREST. Applies the time limits that the role has in this database.';
-- To find it by its name, anon needs the schema, in which it has nothing else.
GRANT USAGE ON SCHEMA mqtt TO anon;
GRANT EXECUTE ON FUNCTION mqtt.check_token() TO anon, authenticated, service_role;
COMMIT;

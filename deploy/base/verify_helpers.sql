-- Deploy topicbase:base/verify_helpers to pg
-- requires: base/schemas
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.verify_function(checked regprocedure, definer boolean, volatility text, callers text []) RETURNS void
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    p pg_catalog.pg_proc;
    v_language text;
    v_callers text [];
BEGIN
    SELECT * INTO STRICT p FROM pg_catalog.pg_proc WHERE oid = checked;
    SELECT lanname INTO STRICT v_language FROM pg_catalog.pg_language WHERE oid = p.prolang;
    IF p.proowner <> 'mqtt_owner'::regrole OR p.prosecdef <> definer OR p.provolatile <> volatility::"char" THEN
        RAISE EXCEPTION '%: owner, security or volatility differs', checked;
    END IF;
    IF (v_language <> 'sql' OR p.prosecdef) AND (p.proconfig @> ARRAY['search_path=pg_catalog, pg_temp']) IS NOT TRUE THEN
        RAISE EXCEPTION '%: search_path is not pinned', checked;
    END IF;
    SELECT coalesce(array_agg(r.rolname::text ORDER BY r.rolname), '{}') INTO v_callers
    FROM pg_catalog.pg_roles AS r
    WHERE r.rolname IN ('anon', 'authenticated', 'service_role', 'authenticator', 'mqtt_bridge')
        AND has_function_privilege(r.oid, checked, 'execute');
    IF v_callers <> ARRAY(SELECT c FROM unnest(callers) AS c ORDER BY c) THEN
        RAISE EXCEPTION '%: EXECUTE is with %, must be %', checked, v_callers, callers;
    END IF;
    IF has_function_privilege('public', checked, 'execute') THEN
        RAISE EXCEPTION '%: PUBLIC must not execute it', checked;
    END IF;
END;
$$;
COMMENT ON FUNCTION mqtt.verify_function(regprocedure, boolean, text, text []) IS
'Raises unless the function has the owner, security, volatility (i, s or v), pinned search_path and callers named; for verify scripts.';

CREATE OR REPLACE FUNCTION mqtt.verify_table(checked regclass, for_members text [], for_service text []) RETURNS void
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_class pg_catalog.pg_class;
    v_role text;
    v_wanted text [];
    v_had text [];
BEGIN
    SELECT * INTO STRICT v_class FROM pg_catalog.pg_class WHERE oid = checked;
    IF v_class.relowner <> 'mqtt_owner'::regrole THEN
        RAISE EXCEPTION '%: must belong to mqtt_owner', checked;
    END IF;
    IF v_class.relkind IN ('r', 'p') AND NOT v_class.relrowsecurity THEN
        RAISE EXCEPTION '%: row-level security is off', checked;
    END IF;
    IF v_class.relkind = 'v' AND (v_class.reloptions @> ARRAY['security_invoker=true']) IS NOT TRUE THEN
        RAISE EXCEPTION '%: must be a security_invoker view', checked;
    END IF;
    FOREACH v_role IN ARRAY ARRAY['anon', 'authenticated', 'service_role', 'authenticator', 'mqtt_bridge'] LOOP
        v_wanted := CASE v_role WHEN 'authenticated' THEN for_members WHEN 'service_role' THEN for_service ELSE '{}' END;
        SELECT coalesce(array_agg(x ORDER BY x), '{}') INTO v_had
        FROM unnest(ARRAY['DELETE', 'INSERT', 'SELECT', 'TRUNCATE', 'UPDATE']) AS x
        WHERE has_table_privilege(v_role, checked, x) OR (x IN ('INSERT', 'SELECT', 'UPDATE') AND has_any_column_privilege(v_role, checked, x));
        IF v_had <> ARRAY(SELECT w FROM unnest(v_wanted) AS w ORDER BY w) THEN
            RAISE EXCEPTION '%: role % has %, must have %', checked, v_role, v_had, v_wanted;
        END IF;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION mqtt.verify_table(regclass, text [], text []) IS
'Raises unless the table or view has the owner, row-level security (or security_invoker) and privileges named; for verify scripts.';
COMMIT;

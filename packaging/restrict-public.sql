-- Run by a superuser, in Topicbase's database: takes from PUBLIC what PostgreSQL gives to every login and Topicbase's roles need not have:
-- advisory locks, by which a broker's read-only login could stop all bridges, and making large objects and temporary tables, by which it could
-- fill the disk. Not in the migrations, because other applications in the same database lose it too: GRANT it to their roles. A dump keeps it
-- (temporary tables: one with --create); after a revert and a new deploy, run it again.
DO $$
DECLARE
    v_function regprocedure;
BEGIN
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format(
        'GRANT TEMPORARY ON DATABASE %I TO mqtt_owner, mqtt_bridge, topicbase_stream, authenticator, anon, authenticated, service_role',
        current_database()
    );
    FOR v_function IN
        SELECT p.oid
        FROM pg_catalog.pg_proc AS p
        WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname ~ '^(pg_(try_)?advisory_|lo_(creat|create|from_bytea)$)'
    LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', v_function);
        IF v_function::text ~ 'advisory' THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO mqtt_owner', v_function);
        END IF;
    END LOOP;
END;
$$;

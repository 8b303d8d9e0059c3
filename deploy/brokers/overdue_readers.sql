-- Deploy topicbase:brokers/overdue_readers to pg
-- requires: brokers/schema
-- requires: tables/publishers
-- requires: tables/readers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.end_overdue_readers() RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_session record;
    v_ended integer := 0;
BEGIN
    FOR v_session IN
        SELECT a.pid, a.usename, a.xact_start < clock_timestamp() - t.most AS is_long
        FROM pg_catalog.pg_stat_activity AS a
        CROSS JOIN LATERAL (
            SELECT interval '30 seconds' AS most
            WHERE a.usename IN ('rabbitmq_reader', 'emqx_reader', 'vernemq_reader', 'go_auth_reader')
            UNION ALL
            -- A SQL tool's, which may have long queries. Who publishes holds locks of ours while it does.
            SELECT interval '1 hour'
            WHERE pg_has_role('mqtt_owner', 'pg_signal_backend', 'usage')
                AND a.usename IN (SELECT r.role_name FROM mqtt.readers AS r) AND a.usename NOT IN (SELECT p.role_name FROM mqtt.publishers AS p)
                AND NOT EXISTS (SELECT FROM pg_catalog.pg_roles AS o WHERE o.rolname = a.usename AND o.rolsuper)
        ) AS t
        WHERE a.datname = current_database()
            AND (
                a.xact_start < clock_timestamp() - t.most
                OR EXISTS (SELECT FROM pg_catalog.pg_locks AS l WHERE l.pid = a.pid AND l.locktype = 'advisory' AND l.granted)
            )
    LOOP
        IF pg_terminate_backend(v_session.pid) THEN
            v_ended := v_ended + 1;
            RAISE LOG 'topicbase: ended a session of %, which held % (pid %)', v_session.usename,
                CASE WHEN v_session.is_long THEN 'a transaction for too long' ELSE 'an advisory lock' END, v_session.pid;
        END IF;
    END LOOP;
    RETURN v_ended;
END;
$$;
COMMENT ON FUNCTION mqtt.end_overdue_readers() IS
'Ends sessions of brokers'' read-only logins that have had a transaction for 30 seconds, and of SQL tools'' (mqtt.readers) that have had one for an hour, or that hold an advisory lock, none of which they need: a login can lift its own time limits. SQL tools'' only where mqtt_owner is a member of pg_signal_backend. The bridge calls it every second. Returns how many.';
COMMIT;

-- Deploy topicbase:brokers/overdue_readers to pg
-- requires: brokers/schema
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
        SELECT a.pid, a.usename, a.xact_start
        FROM pg_catalog.pg_stat_activity AS a
        WHERE a.datname = current_database() AND a.usename IN ('rabbitmq_reader', 'emqx_reader', 'vernemq_reader', 'go_auth_reader')
            AND (
                a.xact_start < clock_timestamp() - interval '30 seconds'
                OR EXISTS (SELECT FROM pg_catalog.pg_locks AS l WHERE l.pid = a.pid AND l.locktype = 'advisory' AND l.granted)
            )
    LOOP
        IF pg_terminate_backend(v_session.pid) THEN
            v_ended := v_ended + 1;
            RAISE LOG 'topicbase: ended a session of %, which held % (pid %)', v_session.usename,
                CASE WHEN v_session.xact_start < clock_timestamp() - interval '30 seconds' THEN 'a transaction for 30 s' ELSE 'an advisory lock' END, v_session.pid;
        END IF;
    END LOOP;
    RETURN v_ended;
END;
$$;
COMMENT ON FUNCTION mqtt.end_overdue_readers() IS
'Ends sessions of brokers'' read-only logins that have had a transaction for 30 seconds or hold an advisory lock, neither of which brokers need: a login can lift its own time limits. The bridge calls it every second. Returns how many.';
COMMIT;

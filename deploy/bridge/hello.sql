-- Deploy topicbase:bridge/hello to pg
-- requires: base/configuration
-- requires: base/locks
-- requires: tables/bridges
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.live_bridges(caller_id uuid) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT count(*)
    FROM mqtt.bridges AS b
    WHERE b.id = caller_id
        OR mqtt.bridge_lock(b.id) IN (
            SELECT k.classid::bigint << 32 | k.objid::bigint
            FROM pg_catalog.pg_locks AS k
            WHERE k.locktype = 'advisory' AND k.granted AND k.objsubid = 1
                AND k.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = current_database())
        );
$$;
COMMENT ON FUNCTION mqtt.live_bridges(uuid) IS 'How many bridges share the work: the caller and those that hold the lock on their id. One that has just ended no longer counts.';

CREATE OR REPLACE FUNCTION bridge.hello(bridge_id uuid, name text, version text, schema_version integer) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF schema_version IS DISTINCT FROM 1 THEN
        RAISE EXCEPTION 'bridge_incompatible' USING
            ERRCODE = 'PT400',
            DETAIL = format('Bridge %s speaks version %s of the functions in schema bridge; this database has version 1.', version, schema_version),
            HINT = 'Run sqitch deploy, or install the bridge of the release that the database has. The database goes first.';
    END IF;
    IF NOT pg_try_advisory_lock(mqtt.bridge_lock(bridge_id)) THEN
        RAISE EXCEPTION 'bridge_is_running' USING
            ERRCODE = 'PT409',
            DETAIL = format('Another session is already bridge %s.', bridge_id),
            HINT = 'That session ends within seconds; try again.';
    END IF;
    INSERT INTO mqtt.bridges AS b (id, name, version, main_pid)
    VALUES (hello.bridge_id, left(hello.name, 200), hello.version, pg_backend_pid())
    ON CONFLICT (id) DO UPDATE SET main_pid = excluded.main_pid, seen_at = clock_timestamp();
    RETURN (
        SELECT jsonb_build_object(
            'max_payload_bytes', c.max_payload_bytes,
            'hosted_broker_url', c.hosted_broker_url,
            'sealing_public_key', encode(c.sealing_public_key, 'base64'),
            'heartbeat_seconds', 2,
            'stale_seconds', 8
        )
        FROM mqtt.configuration AS c
    );
END;
$$;
COMMENT ON FUNCTION bridge.hello(uuid, text, text, integer) IS
$md$A bridge starts, on the session that will hold its locks; returns what it has to know about this installation

Errors: PT400 `bridge_incompatible`; PT409 `bridge_is_running`.$md$;
GRANT EXECUTE ON FUNCTION bridge.hello(uuid, text, text, integer) TO mqtt_bridge;

CREATE OR REPLACE FUNCTION bridge.heartbeat(bridge_id uuid) RETURNS uuid []
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE mqtt.bridges AS b SET seen_at = clock_timestamp() WHERE b.id = heartbeat.bridge_id;
    IF NOT found THEN
        RETURN NULL;
    END IF;
    -- A bridge that does not hold the lock on its id has ended.
    DELETE FROM mqtt.bridges AS b
    WHERE b.id <> heartbeat.bridge_id AND b.seen_at < clock_timestamp() - interval '4 seconds'
        AND pg_try_advisory_xact_lock(mqtt.bridge_lock(b.id));
    RETURN ARRAY(SELECT b.id FROM mqtt.bridges AS b WHERE b.seen_at < clock_timestamp() - interval '8 seconds' ORDER BY b.id);
END;
$$;
COMMENT ON FUNCTION bridge.heartbeat(uuid) IS
'The bridge is alive. Returns the bridges that are still connected but have been silent for too long (stopped, frozen), or null if the caller has to call bridge.hello again.';
GRANT EXECUTE ON FUNCTION bridge.heartbeat(uuid) TO mqtt_bridge;

CREATE OR REPLACE FUNCTION bridge.end_bridge(bridge_id uuid) RETURNS integer
LANGUAGE sql VOLATILE SECURITY INVOKER
BEGIN ATOMIC
    SELECT count(*) FILTER (WHERE pg_terminate_backend(a.pid))::integer
    FROM pg_stat_activity AS a
    WHERE a.usename = current_user AND a.datname = current_database() AND a.application_name = 'topicbase ' || bridge_id;
END;
COMMENT ON FUNCTION bridge.end_bridge(uuid) IS
'Ends the sessions of a silent bridge, which releases its locks. Runs with the caller''s privileges, so it can only end sessions of the same role.';
GRANT EXECUTE ON FUNCTION bridge.end_bridge(uuid) TO mqtt_bridge;
COMMIT;

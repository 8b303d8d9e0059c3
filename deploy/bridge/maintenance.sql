-- Deploy topicbase:bridge/maintenance to pg
-- requires: brokers/overdue_readers
-- requires: maintenance/run_maintenance
-- requires: tables/bridges
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION bridge.check_capacity(bridge_id uuid) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_found jsonb := '{}';
BEGIN
    IF pg_try_advisory_xact_lock(mqtt.capacity_lock(), 0) THEN
        v_found := mqtt.check_capacity();
        PERFORM mqtt.end_overdue_readers();
    END IF;
    RETURN jsonb_build_object('free_disk_bytes', v_found -> 'free_disk_bytes', 'paused', (
        SELECT coalesce(jsonb_object_agg(l.integration_id, coalesce(c.ingest_pause, o.ingest_pause)), '{}')
        FROM mqtt.bridge_leases AS l
        JOIN mqtt.organizations AS o ON o.id = l.organization_id
        CROSS JOIN mqtt.configuration AS c
        WHERE l.bridge_id = check_capacity.bridge_id AND (c.ingest_pause IS NOT NULL OR o.ingest_pause IS NOT NULL)
    ));
END;
$$;
COMMENT ON FUNCTION bridge.check_capacity(uuid) IS
'Called every second: {"paused": {integration that the bridge holds: why the bridge must not read from its broker}, "free_disk_bytes": null if another bridge is checking at this moment}. Also ends overdue sessions of brokers'' logins.';
GRANT EXECUTE ON FUNCTION bridge.check_capacity(uuid) TO mqtt_bridge;

CREATE OR REPLACE FUNCTION bridge.run_periodic_tasks() RETURNS jsonb
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN mqtt.try_maintenance_lock() THEN mqtt.run_periodic_tasks() ELSE '{"skipped": true}' END;
$$;
COMMENT ON FUNCTION bridge.run_periodic_tasks() IS 'The quick part of maintenance, by one bridge at a time: what was done, or {"skipped": true} if another bridge is doing it.';
GRANT EXECUTE ON FUNCTION bridge.run_periodic_tasks() TO mqtt_bridge;

CREATE OR REPLACE FUNCTION bridge.apply_retention() RETURNS jsonb
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN mqtt.try_maintenance_lock() THEN mqtt.apply_retention() ELSE '{"skipped": true}' END;
$$;
COMMENT ON FUNCTION bridge.apply_retention() IS 'Retention, by one bridge at a time: what was removed, and "more" if it should be called again; {"skipped": true} if another bridge is doing it.';
GRANT EXECUTE ON FUNCTION bridge.apply_retention() TO mqtt_bridge;

CREATE OR REPLACE FUNCTION bridge.roll_up_readings() RETURNS jsonb
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN mqtt.try_maintenance_lock() THEN mqtt.roll_up_readings() ELSE '{"skipped": true}' END;
$$;
COMMENT ON FUNCTION bridge.roll_up_readings() IS 'Rollups, by one bridge at a time: what was done, and "more" if it should be called again; {"skipped": true} if another bridge is doing it.';
GRANT EXECUTE ON FUNCTION bridge.roll_up_readings() TO mqtt_bridge;

CREATE OR REPLACE FUNCTION bridge.pack_days() RETURNS jsonb
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN mqtt.try_maintenance_lock() THEN mqtt.pack_days() ELSE '{"skipped": true}' END;
$$;
COMMENT ON FUNCTION bridge.pack_days() IS 'A step of packing the history, by one bridge at a time: what was done, and "more" if it should be called again; {"skipped": true} if another bridge is doing it.';
GRANT EXECUTE ON FUNCTION bridge.pack_days() TO mqtt_bridge;

CREATE OR REPLACE FUNCTION bridge.work_deletions() RETURNS jsonb
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN EXISTS (SELECT FROM mqtt.deletions AS d WHERE d.state <> 'done') AND mqtt.try_maintenance_lock() THEN mqtt.work_deletions()
        ELSE '{"skipped": true}'
    END;
$$;
COMMENT ON FUNCTION bridge.work_deletions() IS
'Called every second: goes on with what was asked to be deleted, by one bridge at a time; {"skipped": true} if there is nothing to do, or another bridge is doing it.';
GRANT EXECUTE ON FUNCTION bridge.work_deletions() TO mqtt_bridge;
COMMIT;

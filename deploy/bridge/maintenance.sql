-- Deploy topicbase:bridge/maintenance to pg
-- requires: maintenance/run_maintenance
-- requires: tables/bridges
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION bridge.check_intake(bridge_id uuid) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_found jsonb := '{}';
BEGIN
    IF pg_try_advisory_xact_lock(1953460324, 1) THEN
        v_found := mqtt.check_intake();
    END IF;
    RETURN jsonb_build_object('free_disk_bytes', v_found -> 'free_disk_bytes', 'paused', (
        SELECT coalesce(jsonb_object_agg(l.integration_id, coalesce(c.intake_stop, o.intake_stop)), '{}')
        FROM mqtt.bridge_leases AS l
        JOIN mqtt.organizations AS o ON o.id = l.organization_id
        CROSS JOIN mqtt.configuration AS c
        WHERE l.bridge_id = check_intake.bridge_id AND (c.intake_stop IS NOT NULL OR o.intake_stop IS NOT NULL)
    ));
END;
$$;
COMMENT ON FUNCTION bridge.check_intake(uuid) IS
'Looks whether there is room for more, each second: {"paused": {integration that the bridge holds: why its broker is to be left unread}, "free_disk_bytes": null when another bridge looks just now}.';
GRANT EXECUTE ON FUNCTION bridge.check_intake(uuid) TO mqtt_bridge;

CREATE OR REPLACE FUNCTION bridge.keep_house() RETURNS jsonb
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN mqtt.is_my_turn() THEN mqtt.keep_house() ELSE '{"skipped": true}' END;
$$;
COMMENT ON FUNCTION bridge.keep_house() IS 'Periodic work that is quick, by one bridge at a time: what was done, or {"skipped": true} when another is at it.';
GRANT EXECUTE ON FUNCTION bridge.keep_house() TO mqtt_bridge;

CREATE OR REPLACE FUNCTION bridge.cleanup() RETURNS jsonb
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN mqtt.is_my_turn() THEN mqtt.cleanup() ELSE '{"skipped": true}' END;
$$;
COMMENT ON FUNCTION bridge.cleanup() IS 'Retention, by one bridge at a time: what went, and "more" when it is to be called again; {"skipped": true} when another is at it.';
GRANT EXECUTE ON FUNCTION bridge.cleanup() TO mqtt_bridge;
COMMIT;

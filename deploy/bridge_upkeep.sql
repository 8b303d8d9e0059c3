-- Deploy topicbase:bridge_upkeep to pg
-- requires: bridge_hello
-- requires: cleanup
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE FUNCTION bridge.run_upkeep() RETURNS jsonb
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT mqtt.upkeep();
$$;
COMMENT ON FUNCTION bridge.run_upkeep() IS 'All periodic work, by one bridge at a time: what was done, or {"skipped": true} when another is at it.';
GRANT EXECUTE ON FUNCTION bridge.run_upkeep() TO mqtt_bridge;
COMMIT;

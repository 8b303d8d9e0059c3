-- Deploy topicbase:bridge/sleep to pg
-- requires: base/locks
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION bridge.sleep(subject text) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF pg_try_advisory_lock(mqtt.wakeup_lock(), hashtext(subject)) THEN
        RETURN 'asleep';
    END IF;
    -- Another sleeper's lock makes the writers notify us all.
    IF EXISTS (
        SELECT FROM pg_catalog.pg_locks AS l
        WHERE l.locktype = 'advisory' AND l.mode = 'ExclusiveLock' AND l.granted AND l.objsubid = 2
            AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = current_database())
            AND l.classid = mqtt.wakeup_lock()::oid AND l.objid = (hashtext(subject)::bigint & 4294967295)::oid
    ) THEN
        RETURN 'beside';
    END IF;
    RETURN 'busy';
END;
$$;
COMMENT ON FUNCTION bridge.sleep(text) IS
'From now on NOTIFY topicbase tells of work (ingest, outbound, callback, request): asleep, when this session''s lock sees to it; beside, when another bridge''s does; '
'busy, when someone is about to commit some: look again in a moment. Look once more after asleep: what was committed before it is not told.';
GRANT EXECUTE ON FUNCTION bridge.sleep(text) TO mqtt_bridge;

CREATE OR REPLACE FUNCTION bridge.wake(subject text) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pg_advisory_unlock(mqtt.wakeup_lock(), hashtext(subject));
$$;
COMMENT ON FUNCTION bridge.wake(text) IS 'Ends this session''s sleep, so that writers no longer notify.';
GRANT EXECUTE ON FUNCTION bridge.wake(text) TO mqtt_bridge;
COMMIT;

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
    -- The lock of another sleeping bridge makes writers notify all bridges.
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
'From now on NOTIFY topicbase announces work (ingest, outbound, callback, request). Returns asleep if this session''s lock ensures this, beside if another bridge''s lock does, or '
'busy if someone is about to commit work: look again in a moment. After asleep, look for work once more: what was committed before it is not announced.';
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

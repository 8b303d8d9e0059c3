-- Deploy topicbase:base/wake_bridge to pg
-- requires: base/locks
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.wake_bridge(subject text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- A sleeping bridge holds this lock exclusively: only then is a NOTIFY worth the global lock it takes at commit.
    -- Held shared until then, it also keeps a bridge from falling asleep between our write and our commit.
    IF NOT pg_try_advisory_xact_lock_shared(mqtt.wakeup_lock(), hashtext(subject)) THEN
        PERFORM pg_notify('topicbase', subject);
    END IF;
END;
$$;
COMMENT ON FUNCTION mqtt.wake_bridge(text) IS
'Sends NOTIFY topicbase, subject (ingest, outbound, callback or request) when a bridge sleeps, that is, holds advisory lock (mqtt.wakeup_lock(), hashtext(subject)).';
COMMIT;

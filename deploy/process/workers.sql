-- Deploy topicbase:process/workers to pg
-- requires: base/locks
-- requires: tables/workers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.begin_work(worker_id uuid) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_is_orphaned boolean;
BEGIN
    DELETE FROM mqtt.workers AS w
    WHERE w.bridge_id <> begin_work.worker_id AND pg_try_advisory_xact_lock(mqtt.bridge_lock(w.bridge_id));
    v_is_orphaned := found;
    INSERT INTO mqtt.workers (bridge_id) VALUES (begin_work.worker_id) ON CONFLICT DO NOTHING;
    RETURN v_is_orphaned;
END;
$$;
COMMENT ON FUNCTION mqtt.begin_work(uuid) IS
'A queue worker begins; it holds mqtt.bridge_lock of its id. Returns whether another ended before its mqtt.end_work: with its machine, perhaps, and perhaps because of a message.';

CREATE OR REPLACE FUNCTION mqtt.end_work(worker_id uuid) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    DELETE FROM mqtt.workers AS w WHERE w.bridge_id = end_work.worker_id;
$$;
COMMENT ON FUNCTION mqtt.end_work(uuid) IS 'A queue worker has emptied the queue, or stops in order.';
COMMIT;

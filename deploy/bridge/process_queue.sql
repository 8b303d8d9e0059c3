-- Deploy topicbase:bridge/process_queue to pg
-- requires: process/process_batch
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION bridge.process_queue(batch_size integer DEFAULT 1000) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN mqtt.process_batch(batch_size, true);
END;
$$;
COMMENT ON FUNCTION bridge.process_queue(integer) IS 'Processes up to batch_size queued messages: {"processed", "failed", "dead", "more"}; an INFO "batch" names their row addresses first, for bridge.suspects.';
GRANT EXECUTE ON FUNCTION bridge.process_queue(integer) TO mqtt_bridge;
COMMIT;

-- Deploy topicbase:bridge/process_queue to pg
-- requires: process/process_heavy
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION bridge.process_queue(batch_size integer DEFAULT 1000, elsewhere uuid [] DEFAULT NULL, own uuid [] DEFAULT '{}') RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN mqtt.process_batch(batch_size, true, elsewhere, own);
END;
$$;
COMMENT ON FUNCTION bridge.process_queue(integer, uuid [], uuid []) IS 'Processes up to batch_size queued messages: {"processed", "failed", "dead", "more"}, and with elsewhere "heavy", as mqtt.process_batch says; an INFO "batch" names their row addresses first, for bridge.suspects.';
GRANT EXECUTE ON FUNCTION bridge.process_queue(integer, uuid [], uuid []) TO mqtt_bridge;

CREATE OR REPLACE FUNCTION bridge.process_heavy(organization_id uuid) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN mqtt.process_heavy(process_heavy.organization_id);
END;
$$;
COMMENT ON FUNCTION bridge.process_heavy(uuid) IS 'Processes queued messages of one organization, for a quarter of a second: as mqtt.process_heavy says.';
GRANT EXECUTE ON FUNCTION bridge.process_heavy(uuid) TO mqtt_bridge;
COMMIT;

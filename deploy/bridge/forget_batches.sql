-- Deploy topicbase:bridge/forget_batches to pg
-- requires: tables/outbound_batches
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION bridge.forget_batches(bridge_id uuid, known bigint []) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_count integer;
BEGIN
    DELETE FROM mqtt.outbound_batches AS b
    WHERE b.bridge_id = forget_batches.bridge_id AND b.id <> ALL (forget_batches.known);
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END;
$$;
COMMENT ON FUNCTION bridge.forget_batches(uuid, bigint []) IS
'Ends the claims of a bridge that it does not know of, because the connection was lost before bridge.claim_outbound had answered; returns how many. Their messages, which it claims again, could neither be cancelled nor expire meanwhile. '
'Only for the session that claims, as no other one knows what was claimed a moment ago.';
GRANT EXECUTE ON FUNCTION bridge.forget_batches(uuid, bigint []) TO mqtt_bridge;
COMMIT;

-- Deploy topicbase:bridge/note_api_keys to pg
-- requires: tables/api_keys
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION bridge.note_api_keys(key_ids uuid []) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_count integer;
BEGIN
    UPDATE mqtt.api_keys AS k
    SET last_used_at = date_trunc('hour', now())
    WHERE k.id = ANY (key_ids) AND (k.last_used_at >= date_trunc('hour', now())) IS NOT TRUE;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END;
$$;
COMMENT ON FUNCTION bridge.note_api_keys(uuid []) IS 'Notes that API keys were used, as mqtt.note_api_key told: returns of how many that was news.';
GRANT EXECUTE ON FUNCTION bridge.note_api_keys(uuid []) TO mqtt_bridge;
COMMIT;

-- Deploy topicbase:tables/client_ids to pg
-- requires: base/verify_helpers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.bridge_client_id(id uuid, settings jsonb) RETURNS text
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    -- Without one, the bridge makes it from the id (default_client_id in bridge/mqtt/target.py).
    SELECT coalesce(settings ->> 'client_id', 'topicbase' || left(replace(id::text, '-', ''), 14));
END;
COMMENT ON FUNCTION mqtt.bridge_client_id(uuid, jsonb) IS 'The client id under which the bridge connects to an integration''s own broker.';
GRANT EXECUTE ON FUNCTION mqtt.bridge_client_id(uuid, jsonb) TO authenticated, service_role;
COMMIT;

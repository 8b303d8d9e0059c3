-- Deploy topicbase:base/locks to pg
-- requires: base/verify_helpers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.bridge_lock(subject uuid) RETURNS bigint
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT hashtextextended('topicbase ' || subject, 0);
END;
COMMENT ON FUNCTION mqtt.bridge_lock(uuid) IS 'Key of the advisory lock on a bridge or an integration.';
COMMIT;

-- Deploy topicbase:base/api_version to pg
-- requires: base/verify_helpers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.api_version() RETURNS text
LANGUAGE sql IMMUTABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT '0.1.1';
END;
COMMENT ON FUNCTION mqtt.api_version() IS 'The release of Topicbase whose API this is: the tag of sqitch.plan that it is deployed for.';
COMMIT;

-- Deploy topicbase:base/schemas to pg
-- requires: base/roles
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
CREATE SCHEMA api AUTHORIZATION mqtt_owner;
CREATE SCHEMA mqtt AUTHORIZATION mqtt_owner;
CREATE SCHEMA bridge AUTHORIZATION mqtt_owner;
COMMENT ON SCHEMA api IS
$md$Topicbase

MQTT integration that lives in Postgres. Devices send with `POST /rpc/mqtt_ingest`, apps call the other functions with a JWT.$md$;
COMMENT ON SCHEMA mqtt IS 'Tables and logic of Topicbase; not exposed over HTTP.';
COMMENT ON SCHEMA bridge IS 'What the bridge process calls, and nothing else may.';
GRANT USAGE ON SCHEMA api TO anon, authenticated, service_role;
GRANT USAGE ON SCHEMA mqtt TO authenticated, service_role, topicbase_stream;
GRANT USAGE ON SCHEMA bridge TO mqtt_bridge;
-- What mqtt_owner creates is closed until a GRANT in the same change opens it.
ALTER DEFAULT PRIVILEGES FOR ROLE mqtt_owner REVOKE EXECUTE ON FUNCTIONS FROM public;
ALTER DEFAULT PRIVILEGES FOR ROLE mqtt_owner REVOKE USAGE ON TYPES FROM public;
COMMIT;

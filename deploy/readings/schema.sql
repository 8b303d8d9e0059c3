-- Deploy topicbase:readings/schema to pg
-- requires: base/schemas
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
CREATE SCHEMA readings AUTHORIZATION mqtt_owner;
COMMENT ON SCHEMA readings IS 'What devices measured, for tools that speak SQL, such as Grafana and Metabase: a login sees the organizations that mqtt.grant_reader gave it.';
-- Roles are cluster-wide: created if missing, never dropped.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'topicbase_reader') THEN
        CREATE ROLE topicbase_reader NOLOGIN;
        COMMENT ON ROLE topicbase_reader IS 'Created by Topicbase';
    END IF;
END;
$$;
GRANT USAGE ON SCHEMA readings TO topicbase_reader;
COMMIT;

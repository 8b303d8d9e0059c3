-- Deploy topicbase:brokers/raw_body to pg
-- requires: base/verify_helpers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
-- PostgREST sends a value of this domain as it is, whatever the caller accepts.
CREATE DOMAIN api."*/*" AS text;
COMMENT ON DOMAIN api."*/*" IS 'A response body that is not JSON.';
COMMIT;

-- Deploy topicbase:base/decoded_payload to pg
-- requires: base/verify_helpers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TYPE mqtt.decoded_payload AS (payload jsonb, body bytea, decode_error text);
COMMIT;

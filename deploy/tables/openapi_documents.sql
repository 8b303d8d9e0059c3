-- Deploy topicbase:tables/openapi_documents to pg
-- requires: base/verify_helpers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TABLE mqtt.openapi_documents (
    role name PRIMARY KEY,
    fingerprint text NOT NULL,
    document text NOT NULL CHECK (octet_length(document) < 2000000)
);
COMMENT ON TABLE mqtt.openapi_documents IS 'The OpenAPI document of each role, made once for each state of the schema api: it takes too long to be made for each request.';
COMMENT ON COLUMN mqtt.openapi_documents.fingerprint IS 'The state of the schema api that it describes: mqtt.api_fingerprint().';
ALTER TABLE mqtt.openapi_documents ENABLE ROW LEVEL SECURITY;
COMMIT;

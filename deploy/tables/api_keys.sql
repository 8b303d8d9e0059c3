-- Deploy topicbase:tables/api_keys to pg
-- requires: tenants/organizations
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TABLE mqtt.api_keys (
    organization_id uuid NOT NULL REFERENCES mqtt.organizations (id) ON DELETE CASCADE,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    key_hash bytea NOT NULL UNIQUE CHECK (octet_length(key_hash) = 32),
    key_start text NOT NULL CHECK (length(key_start) = 8),
    scope text NOT NULL CHECK (scope IN ('read', 'publish', 'admin')),
    integration_ids uuid [] CHECK (cardinality(integration_ids) BETWEEN 1 AND 100),
    expires_at timestamptz,
    last_used_at timestamptz,
    created_by uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, id)
);
CREATE INDEX api_keys_id_idx ON mqtt.api_keys (id);
COMMENT ON TABLE mqtt.api_keys IS 'Keys that apps call the API with. The key is shown once, when it is made; revoking one deletes its row.';
COMMENT ON COLUMN mqtt.api_keys.key_hash IS 'SHA-256 of the key, by which it is found: it has 192 random bits.';
COMMENT ON COLUMN mqtt.api_keys.key_start IS 'How the key begins, to tell one from another.';
COMMENT ON COLUMN mqtt.api_keys.scope IS 'read; publish, which may read as well; admin, which may do both as well.';
COMMENT ON COLUMN mqtt.api_keys.integration_ids IS 'The only integrations that it sees; null: all. One that has been deleted stays here, and matches nothing.';
COMMENT ON COLUMN mqtt.api_keys.last_used_at IS 'To the hour; a bridge writes it.';
ALTER TABLE mqtt.api_keys ENABLE ROW LEVEL SECURITY;
COMMIT;

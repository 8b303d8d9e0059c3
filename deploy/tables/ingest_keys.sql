-- Deploy topicbase:tables/ingest_keys to pg
-- requires: base/verify_helpers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TABLE mqtt.ingest_keys (
    organization_id uuid NOT NULL,
    credential_id uuid NOT NULL,
    message_id uuid NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, credential_id, message_id)
);
CREATE INDEX ingest_keys_received_at_idx ON mqtt.ingest_keys USING brin (received_at);
COMMENT ON TABLE mqtt.ingest_keys IS
'Message ids that clients chose themselves, per credential (over HTTP) or integration (over MQTT), for configuration.idempotency_window: a repeat is answered like the first and not queued again.';
ALTER TABLE mqtt.ingest_keys ENABLE ROW LEVEL SECURITY;
COMMIT;

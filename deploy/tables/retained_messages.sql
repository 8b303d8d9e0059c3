-- Deploy topicbase:tables/retained_messages to pg
-- requires: tables/device_integrations
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TABLE mqtt.retained_messages (
    organization_id uuid NOT NULL,
    integration_id uuid NOT NULL,
    topic_hash bytea NOT NULL,
    content_hash bytea NOT NULL,
    seen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, integration_id, topic_hash),
    FOREIGN KEY (organization_id, integration_id) REFERENCES mqtt.device_integrations (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX retained_messages_seen_at_idx ON mqtt.retained_messages (seen_at);
COMMENT ON TABLE mqtt.retained_messages IS
'What brokers have retained and sent already, a row for each topic of an integration: they send it again at each new session, and then it is not stored again.';
COMMENT ON COLUMN mqtt.retained_messages.topic_hash IS 'SHA-256 of the topic.';
COMMENT ON COLUMN mqtt.retained_messages.content_hash IS 'SHA-256 of payload, content type and other properties.';
COMMENT ON COLUMN mqtt.retained_messages.seen_at IS 'When it last came, to a day.';
ALTER TABLE mqtt.retained_messages ENABLE ROW LEVEL SECURITY;
COMMIT;

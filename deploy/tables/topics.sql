-- Deploy topicbase:tables/topics to pg
-- requires: tenants/membership
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TABLE mqtt.topics (
    organization_id uuid NOT NULL,
    number integer NOT NULL UNIQUE,
    integration_id uuid NOT NULL,
    device_id uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    role text NOT NULL,
    topic text NOT NULL,
    message_type text,
    external_id text,
    is_current boolean NOT NULL DEFAULT false,
    PRIMARY KEY (organization_id, number)
);
CREATE SEQUENCE mqtt.topic_numbers AS integer OWNED BY mqtt.topics.number;
-- A topic may be longer than an index entry. Without the organization, so that who looks up a topic has no other index to read (mqtt.topic_number).
CREATE INDEX topics_topic_idx ON mqtt.topics (integration_id, hashtextextended(topic, 0), left(topic, 200));
CREATE INDEX topics_device_idx ON mqtt.topics (device_id) WHERE device_id IS NOT NULL;
COMMENT ON TABLE mqtt.topics IS
'What the history''s topics are: the name, and what the topic pattern made of it when messages came. What it means never changes; when a topic comes to mean something else, it gets another row, and what was stored before keeps the one it has. Without foreign keys: rows stay while the history names them.';
COMMENT ON COLUMN mqtt.topics.number IS 'What it is called in the history.';
COMMENT ON COLUMN mqtt.topics.device_id IS 'Device that the topic names; null where it names none, and for what is published.';
COMMENT ON COLUMN mqtt.topics.message_type IS 'Topic level that topic_pattern named {message_type}; null where it named none.';
COMMENT ON COLUMN mqtt.topics.external_id IS 'Of a current one: the device''s name in the topic, if any.';
COMMENT ON COLUMN mqtt.topics.is_current IS 'Whether messages to this topic that come now mean this; then ingest stores them at once. Set by the worker, and unset by whoever changes what topics mean (mqtt.outdate_topics).';
COMMENT ON COLUMN mqtt.topics.role IS 'What its messages are, by mqtt.message_role of the message type.';
ALTER TABLE mqtt.topics ENABLE ROW LEVEL SECURITY;
CREATE POLICY members_read ON mqtt.topics FOR SELECT TO authenticated
USING (organization_id = ANY ((SELECT mqtt.current_organization_ids())::uuid []));
CREATE POLICY service_reads ON mqtt.topics FOR SELECT TO service_role USING (true);
GRANT SELECT ON mqtt.topics TO authenticated, service_role;

CREATE TABLE mqtt.topic_counts (
    organization_id uuid PRIMARY KEY,
    topics integer NOT NULL
);
COMMENT ON TABLE mqtt.topic_counts IS 'How many rows of mqtt.topics an organization has, written by whoever adds or removes some.';
ALTER TABLE mqtt.topic_counts ENABLE ROW LEVEL SECURITY;
COMMIT;

-- Deploy topicbase:tables/mqtt_subscriptions to pg
-- requires: tables/device_integrations
-- requires: topics/filters
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TABLE mqtt.mqtt_subscriptions (
    organization_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    integration_id uuid NOT NULL,
    topic text NOT NULL CHECK (octet_length(topic) BETWEEN 1 AND 2048),
    qos smallint NOT NULL DEFAULT 0 CHECK (qos BETWEEN 0 AND 2),
    callback_url text CHECK (octet_length(callback_url) <= 2048),
    callback_ordered boolean NOT NULL DEFAULT false,
    callback_gone_at timestamptz,
    no_local boolean NOT NULL DEFAULT true,
    retain_handling smallint NOT NULL DEFAULT 0 CHECK (retain_handling BETWEEN 0 AND 2),
    is_paused boolean NOT NULL DEFAULT false,
    status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'active', 'error')),
    status_detail text,
    granted_qos smallint,
    -- As large as a Subscription Identifier may be (MQTT 5 section 3.8.2.1.2).
    number integer NOT NULL CHECK (number BETWEEN 1 AND 268435455),
    active_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    prefix text NOT NULL GENERATED ALWAYS AS (mqtt.topic_filter_prefix(topic)) STORED,
    PRIMARY KEY (organization_id, id),
    UNIQUE (organization_id, integration_id, topic),
    FOREIGN KEY (organization_id, integration_id) REFERENCES mqtt.device_integrations (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX mqtt_subscriptions_prefix_idx ON mqtt.mqtt_subscriptions (organization_id, integration_id, prefix);
-- So small where nobody has callbacks that asking costs a batch nothing.
CREATE INDEX mqtt_subscriptions_callback_idx ON mqtt.mqtt_subscriptions (organization_id, integration_id, prefix)
WHERE callback_url IS NOT NULL AND callback_gone_at IS NULL AND NOT is_paused;
COMMENT ON TABLE mqtt.mqtt_subscriptions IS 'Topic filters that the bridge is subscribed to at an integration''s broker; what matches is queued like what devices post.';
COMMENT ON COLUMN mqtt.mqtt_subscriptions.topic IS 'Topic filter, wildcards + and # allowed, also $share/<name>/<filter>.';
COMMENT ON COLUMN mqtt.mqtt_subscriptions.qos IS 'Maximum QoS asked for: 0, 1 or 2.';
COMMENT ON COLUMN mqtt.mqtt_subscriptions.callback_url IS 'URL that matching messages are posted to as well, if any.';
COMMENT ON COLUMN mqtt.mqtt_subscriptions.callback_ordered IS 'Whether its messages are posted one after the other, in the order in which they were accepted.';
COMMENT ON COLUMN mqtt.mqtt_subscriptions.callback_gone_at IS 'When callback_url answered 410 Gone; nothing is posted until the subscription is made again.';
COMMENT ON COLUMN mqtt.mqtt_subscriptions.no_local IS 'MQTT 5: do not send back what this integration published itself.';
COMMENT ON COLUMN mqtt.mqtt_subscriptions.retain_handling IS 'MQTT 5: 0 retained messages at each subscribe, 1 only when new, 2 never (section 3.8.3.1).';
COMMENT ON COLUMN mqtt.mqtt_subscriptions.status IS 'pending until the broker granted it, active after, error when it refused; see status_detail.';
COMMENT ON COLUMN mqtt.mqtt_subscriptions.granted_qos IS 'QoS that the broker granted.';
COMMENT ON COLUMN mqtt.mqtt_subscriptions.number IS 'Its Subscription Identifier at the broker, which tells nobody how many there are; a new one with each change of what is asked for, so that what a broker has queued for the old is told apart.';
COMMENT ON COLUMN mqtt.mqtt_subscriptions.active_at IS 'Since when the broker grants it without a break.';
COMMENT ON COLUMN mqtt.mqtt_subscriptions.prefix IS 'The topic filter''s levels before the first wildcard, by which those that may match a topic are found.';
ALTER TABLE mqtt.mqtt_subscriptions ENABLE ROW LEVEL SECURITY;
CREATE POLICY members_read ON mqtt.mqtt_subscriptions FOR SELECT TO authenticated
USING (organization_id = ANY ((SELECT mqtt.current_organization_ids())::uuid []));
CREATE POLICY admins_insert ON mqtt.mqtt_subscriptions FOR INSERT TO authenticated
WITH CHECK (organization_id = ANY ((SELECT mqtt.current_organization_ids(true))::uuid []));
CREATE POLICY admins_update ON mqtt.mqtt_subscriptions FOR UPDATE TO authenticated
USING (organization_id = ANY ((SELECT mqtt.current_organization_ids(true))::uuid []))
WITH CHECK (organization_id = ANY ((SELECT mqtt.current_organization_ids(true))::uuid []));
CREATE POLICY admins_delete ON mqtt.mqtt_subscriptions FOR DELETE TO authenticated
USING (organization_id = ANY ((SELECT mqtt.current_organization_ids(true))::uuid []));
CREATE POLICY service_writes ON mqtt.mqtt_subscriptions TO service_role USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON mqtt.mqtt_subscriptions TO authenticated, service_role;
COMMIT;

-- Deploy topicbase:tables/ended_filters to pg
-- requires: tables/mqtt_subscriptions
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL lock_timeout = '5s';
SET LOCAL ROLE mqtt_owner;
CREATE TABLE mqtt.ended_filters (
    organization_id uuid NOT NULL,
    integration_id uuid NOT NULL,
    topic text NOT NULL,
    ended_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (organization_id, integration_id, topic),
    FOREIGN KEY (organization_id, integration_id) REFERENCES mqtt.device_integrations (organization_id, id) ON DELETE CASCADE
);
COMMENT ON TABLE mqtt.ended_filters IS
'Topic filters whose subscription ended, or was paused, after the broker had granted it: its session may have them still, until the bridge has unsubscribed.';
ALTER TABLE mqtt.ended_filters ENABLE ROW LEVEL SECURITY;
COMMIT;

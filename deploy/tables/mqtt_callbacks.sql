-- Deploy topicbase:tables/mqtt_callbacks to pg
-- requires: tables/mqtt_subscriptions
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TABLE mqtt.callback_secrets (
    organization_id uuid NOT NULL,
    subscription_id uuid NOT NULL,
    sealed jsonb NOT NULL,
    previous jsonb,
    previous_until timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (organization_id, subscription_id),
    FOREIGN KEY (organization_id, subscription_id) REFERENCES mqtt.mqtt_subscriptions (organization_id, id) ON DELETE CASCADE,
    CHECK (sealed ? 'sealed' AND (previous IS NULL OR previous ? 'sealed'))
);
COMMENT ON TABLE mqtt.callback_secrets IS 'What requests to a subscription''s callback_url are signed with: libsodium sealed boxes that only the bridge opens. No web role reads them.';
COMMENT ON COLUMN mqtt.callback_secrets.previous IS 'The secret before the last rotation, which requests are signed with as well until previous_until.';
ALTER TABLE mqtt.callback_secrets ENABLE ROW LEVEL SECURITY;

CREATE TABLE mqtt.callback_circuits (
    organization_id uuid NOT NULL REFERENCES mqtt.organizations (id) ON DELETE CASCADE,
    url text NOT NULL,
    failures integer NOT NULL,
    openings integer NOT NULL DEFAULT 0,
    slow integer NOT NULL DEFAULT 0,
    open_until timestamptz,
    error text,
    PRIMARY KEY (organization_id, url)
);
COMMENT ON TABLE mqtt.callback_circuits IS 'URLs that failed last time they were called: after some failures in a row nothing is sent for a while, then one request to see. Likewise those that took long to answer, which get one request at a time. A quick success removes the row.';
COMMENT ON COLUMN mqtt.callback_circuits.openings IS 'How often in a row the circuit was opened; each time for twice as long.';
COMMENT ON COLUMN mqtt.callback_circuits.slow IS 'How many answers in a row took longer than 5 seconds.';
ALTER TABLE mqtt.callback_circuits ENABLE ROW LEVEL SECURITY;

CREATE TABLE mqtt.mqtt_callback_deliveries (
    organization_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    number bigint GENERATED ALWAYS AS IDENTITY,
    subscription_id uuid NOT NULL,
    message_id uuid NOT NULL,
    received_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    due_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    attempted_at timestamptz,
    finished_at timestamptz,
    bridge_id uuid,
    status text NOT NULL DEFAULT 'waiting' CHECK (status IN ('waiting', 'delivered', 'dead')),
    attempts smallint NOT NULL DEFAULT 0,
    status_code smallint,
    error text,
    response text CHECK (length(response) <= 200),
    PRIMARY KEY (organization_id, id)
);
CREATE INDEX mqtt_callback_deliveries_due_idx ON mqtt.mqtt_callback_deliveries (organization_id, subscription_id, due_at) WHERE status = 'waiting';
CREATE INDEX mqtt_callback_deliveries_order_idx ON mqtt.mqtt_callback_deliveries (organization_id, subscription_id, number) WHERE status = 'waiting';
CREATE INDEX mqtt_callback_deliveries_log_idx ON mqtt.mqtt_callback_deliveries (organization_id, created_at);
COMMENT ON TABLE mqtt.mqtt_callback_deliveries IS
'What is to be posted to whom, and what became of it. The message itself is in the history. Without a foreign key to the subscription, so that the log outlives it.';
COMMENT ON COLUMN mqtt.mqtt_callback_deliveries.id IS 'The webhook-id header: the same in each attempt.';
COMMENT ON COLUMN mqtt.mqtt_callback_deliveries.number IS 'The order in which the messages were accepted.';
COMMENT ON COLUMN mqtt.mqtt_callback_deliveries.received_at IS 'With message_id, the place of the message in the history.';
COMMENT ON COLUMN mqtt.mqtt_callback_deliveries.due_at IS 'When it may next be attempted; while one is under way, when that is given up for lost.';
COMMENT ON COLUMN mqtt.mqtt_callback_deliveries.bridge_id IS 'The bridge that an attempt is under way in.';
COMMENT ON COLUMN mqtt.mqtt_callback_deliveries.response IS 'How the answer to a failed attempt began.';
ALTER TABLE mqtt.mqtt_callback_deliveries ENABLE ROW LEVEL SECURITY;
CREATE POLICY members_read ON mqtt.mqtt_callback_deliveries FOR SELECT TO authenticated
USING (organization_id = ANY ((SELECT mqtt.current_organization_ids())::uuid []));
CREATE POLICY service_reads ON mqtt.mqtt_callback_deliveries FOR SELECT TO service_role USING (true);
GRANT SELECT ON mqtt.mqtt_callback_deliveries TO authenticated, service_role;
COMMIT;

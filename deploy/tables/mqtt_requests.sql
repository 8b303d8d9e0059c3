-- Deploy topicbase:tables/mqtt_requests to pg
-- requires: tables/device_integrations
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TABLE mqtt.mqtt_requests (
    organization_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    integration_id uuid NOT NULL,
    request_type text NOT NULL CHECK (request_type IN ('test_connection')),
    status text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'running', 'done')),
    result jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, integration_id) REFERENCES mqtt.device_integrations (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX mqtt_requests_integration_idx ON mqtt.mqtt_requests (organization_id, integration_id);
CREATE INDEX mqtt_requests_open_idx ON mqtt.mqtt_requests (created_at) WHERE status <> 'done';
COMMENT ON TABLE mqtt.mqtt_requests IS 'What the bridge was asked to do on a broker, and its answer; kept for a day.';
COMMENT ON COLUMN mqtt.mqtt_requests.result IS 'The verdict: {"ok": bool, "reason": text, …} with each stage that was reached.';
ALTER TABLE mqtt.mqtt_requests ENABLE ROW LEVEL SECURITY;
CREATE POLICY members_read ON mqtt.mqtt_requests FOR SELECT TO authenticated
USING (organization_id = ANY ((SELECT mqtt.current_organization_ids())::uuid []));
CREATE POLICY service_reads ON mqtt.mqtt_requests FOR SELECT TO service_role USING (true);
GRANT SELECT ON mqtt.mqtt_requests TO authenticated, service_role;
COMMIT;

-- Deploy topicbase:tables/device_presets to pg
-- requires: base/verify_helpers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TABLE mqtt.device_presets (
    preset text PRIMARY KEY CHECK (preset ~ '^[a-z][a-z0-9-]{0,62}$'),
    title text NOT NULL,
    description text NOT NULL,
    topics text [] NOT NULL,
    rules jsonb NOT NULL CHECK (jsonb_typeof(rules) = 'array')
);
COMMENT ON TABLE mqtt.device_presets IS 'Payload rules of device ecosystems, to be copied into an integration.';
COMMENT ON COLUMN mqtt.device_presets.topics IS 'What to subscribe to at the ecosystem''s broker.';
COMMENT ON COLUMN mqtt.device_presets.rules IS 'The arguments of upsert_payload_rule for each rule, in order.';
ALTER TABLE mqtt.device_presets ENABLE ROW LEVEL SECURITY;
CREATE POLICY all_read ON mqtt.device_presets FOR SELECT TO authenticated USING (true);
CREATE POLICY service_reads ON mqtt.device_presets FOR SELECT TO service_role USING (true);
GRANT SELECT ON mqtt.device_presets TO authenticated, service_role;
COMMIT;

-- Deploy topicbase:tables/integration_activity_log to pg
-- requires: tables/mqtt_messages
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TABLE mqtt.integration_activity_log (
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    organization_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    integration_id uuid,
    direction mqtt.message_direction,
    message_count integer NOT NULL DEFAULT 0,
    activity_type text NOT NULL,
    status text NOT NULL CHECK (status IN ('success', 'failed')),
    error_message text,
    details jsonb,
    PRIMARY KEY (organization_id, created_at, id)
) PARTITION BY RANGE (created_at);
CREATE INDEX integration_activity_log_integration_idx ON mqtt.integration_activity_log (integration_id, created_at);
COMMENT ON TABLE mqtt.integration_activity_log IS 'What happened in an integration: one row per processed batch, with its count, and one per failure or change.';
COMMENT ON COLUMN mqtt.integration_activity_log.activity_type IS 'What it was: messages_processed, message_failed, message_dead, messages_published, credential_generated, credential_first_used, credential_expired, …';
COMMENT ON COLUMN mqtt.integration_activity_log.message_count IS 'How many messages the row speaks of; 0 where it speaks of none.';
COMMENT ON COLUMN mqtt.integration_activity_log.details IS 'Facts of the case; never a secret, never a payload.';
SELECT mqtt.create_default_partition('mqtt.integration_activity_log');
ALTER TABLE mqtt.integration_activity_log ENABLE ROW LEVEL SECURITY;
CREATE POLICY members_read ON mqtt.integration_activity_log FOR SELECT TO authenticated
USING (organization_id = ANY ((SELECT mqtt.current_organization_ids())::uuid []));
CREATE POLICY service_reads ON mqtt.integration_activity_log FOR SELECT TO service_role USING (true);
GRANT SELECT ON mqtt.integration_activity_log TO authenticated, service_role;
COMMIT;

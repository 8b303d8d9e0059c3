-- Deploy topicbase:tables/mqtt_dead_letters to pg
-- requires: tables/mqtt_messages
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TABLE mqtt.mqtt_dead_letters (
    failed_at timestamptz NOT NULL DEFAULT now(),
    received_at timestamptz NOT NULL,
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    integration_id uuid NOT NULL,
    credential_id uuid,
    direction mqtt.message_direction NOT NULL,
    attempts smallint NOT NULL,
    topic text,
    message jsonb,
    body bytea,
    error_message text NOT NULL,
    errors jsonb NOT NULL DEFAULT '[]',
    replayed_at timestamptz,
    replay_count smallint NOT NULL DEFAULT 0,
    is_stored boolean NOT NULL DEFAULT false,
    PRIMARY KEY (organization_id, failed_at, id)
) PARTITION BY RANGE (failed_at);
COMMENT ON TABLE mqtt.mqtt_dead_letters IS 'Messages that failed for good, as they were accepted, with the error of each attempt; kept failed_days, replayable.';
COMMENT ON COLUMN mqtt.mqtt_dead_letters.id IS 'Message id that the sender was told.';
COMMENT ON COLUMN mqtt.mqtt_dead_letters.message IS 'The message as it stood in the queue: topic, payload, qos, retain and what else came with it.';
COMMENT ON COLUMN mqtt.mqtt_dead_letters.body IS 'The payload byte for byte, where it came as bytes.';
COMMENT ON COLUMN mqtt.mqtt_dead_letters.error_message IS 'Error of the last attempt.';
COMMENT ON COLUMN mqtt.mqtt_dead_letters.errors IS 'Every attempt: [{"at", "code", "error"}, …], oldest first.';
COMMENT ON COLUMN mqtt.mqtt_dead_letters.replayed_at IS 'When it was last put back into the queue; it stays here as the trace of that.';
COMMENT ON COLUMN mqtt.mqtt_dead_letters.is_stored IS 'Whether the history had the message from its acceptance on: there it is marked as failed, and a replay makes its effects instead of storing it again.';
SELECT mqtt.create_default_partition('mqtt.mqtt_dead_letters');
ALTER TABLE mqtt.mqtt_dead_letters ENABLE ROW LEVEL SECURITY;
CREATE POLICY members_read ON mqtt.mqtt_dead_letters FOR SELECT TO authenticated
USING (organization_id = ANY ((SELECT mqtt.current_organization_ids())::uuid []));
CREATE POLICY service_reads ON mqtt.mqtt_dead_letters FOR SELECT TO service_role USING (true);
GRANT SELECT ON mqtt.mqtt_dead_letters TO authenticated, service_role;
COMMIT;

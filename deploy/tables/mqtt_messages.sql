-- Deploy topicbase:tables/mqtt_messages to pg
-- requires: base/partitions
-- requires: tenants/membership
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TYPE mqtt.message_direction AS ENUM ('incoming', 'outgoing');
GRANT USAGE ON TYPE mqtt.message_direction TO authenticated, service_role;
-- Columns stand in the order that wastes no alignment bytes.
CREATE TABLE mqtt.mqtt_messages (
    received_at timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    integration_id uuid NOT NULL,
    device_id uuid,
    sent_at timestamptz,
    measured_at timestamptz NOT NULL,
    position bigint NOT NULL,
    direction mqtt.message_direction NOT NULL,
    qos smallint NOT NULL DEFAULT 0,
    retain boolean NOT NULL DEFAULT false,
    is_interpreted boolean NOT NULL DEFAULT false,
    topic text NOT NULL,
    message_type text,
    payload jsonb NOT NULL,
    content_type text,
    body bytea,
    decode_error text,
    properties jsonb,
    PRIMARY KEY (organization_id, received_at, id)
) PARTITION BY RANGE (received_at);
CREATE INDEX mqtt_messages_integration_idx ON mqtt.mqtt_messages (integration_id, received_at, position);
CREATE INDEX mqtt_messages_device_idx ON mqtt.mqtt_messages (device_id, measured_at, position) WHERE device_id IS NOT NULL;
COMMENT ON TABLE mqtt.mqtt_messages IS 'Every message stored, in (from devices) and out (published); partitioned by UTC day of received_at.';
COMMENT ON COLUMN mqtt.mqtt_messages.id IS 'Message id that the sender was told; a receipt id for outgoing messages.';
COMMENT ON COLUMN mqtt.mqtt_messages.received_at IS 'When the database accepted it, by the database''s clock.';
COMMENT ON COLUMN mqtt.mqtt_messages.created_at IS 'When it was stored here; created_at - received_at is its time in the queue.';
COMMENT ON COLUMN mqtt.mqtt_messages.sent_at IS 'Time that the device stamped on it, if it did.';
COMMENT ON COLUMN mqtt.mqtt_messages.measured_at IS 'sent_at where that is plausible (configuration.max_time_behind, max_time_ahead), else received_at.';
COMMENT ON COLUMN mqtt.mqtt_messages.position IS 'Order of acceptance, among messages of the same time: its number in the queue. Never shown outside, where it would count the messages of all organizations.';
COMMENT ON COLUMN mqtt.mqtt_messages.direction IS 'incoming or outgoing, seen from the database.';
COMMENT ON COLUMN mqtt.mqtt_messages.is_interpreted IS 'Whether a payload rule matched it: its readings, if any, are in mqtt.reading_rows.';
COMMENT ON COLUMN mqtt.mqtt_messages.message_type IS 'Topic level that topic_pattern named {message_type} when it was stored; null where it named none.';
COMMENT ON COLUMN mqtt.mqtt_messages.payload IS 'The payload as JSON: as sent, or decoded from its content type; JSON null when body holds it instead.';
COMMENT ON COLUMN mqtt.mqtt_messages.content_type IS 'Media type that came with it (MQTT 5 section 3.3.2.3.9), if any.';
COMMENT ON COLUMN mqtt.mqtt_messages.body IS 'The payload byte for byte, where it has no JSON form.';
COMMENT ON COLUMN mqtt.mqtt_messages.decode_error IS 'Why the payload could not be decoded as its content type says, or a payload rule found less in it than it looks for; else null.';
COMMENT ON COLUMN mqtt.mqtt_messages.properties IS 'MQTT 5 properties and other facts that came with it, if any.';
SELECT mqtt.create_default_partition('mqtt.mqtt_messages');
ALTER TABLE mqtt.mqtt_messages ENABLE ROW LEVEL SECURITY;
CREATE POLICY members_read ON mqtt.mqtt_messages FOR SELECT TO authenticated
USING (organization_id = ANY ((SELECT mqtt.current_organization_ids())::uuid []));
GRANT SELECT ON mqtt.mqtt_messages TO authenticated, service_role;
COMMIT;

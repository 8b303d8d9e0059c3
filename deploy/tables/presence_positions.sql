-- Deploy topicbase:tables/presence_positions to pg
-- requires: tables/devices
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TABLE mqtt.presence_positions (
    organization_id uuid NOT NULL,
    device_id uuid NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (organization_id, device_id),
    FOREIGN KEY (organization_id, device_id) REFERENCES mqtt.devices (organization_id, id) ON DELETE CASCADE
);
COMMENT ON TABLE mqtt.presence_positions IS
'The number in the queue of the message that told a device''s presence: one that was accepted before it changes nothing, even if it is processed later.';
ALTER TABLE mqtt.presence_positions ENABLE ROW LEVEL SECURITY;
COMMIT;

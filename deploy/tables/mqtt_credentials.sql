-- Deploy topicbase:tables/mqtt_credentials to pg
-- requires: tables/devices
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TABLE mqtt.mqtt_credentials (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id uuid NOT NULL,
    integration_id uuid NOT NULL,
    device_id uuid,
    member_id uuid,
    username text NOT NULL UNIQUE CHECK (username ~ '^[A-Za-z0-9_.-]{1,64}$'),
    client_id text NOT NULL CHECK (client_id ~ '^[A-Za-z0-9_.-]{1,64}$'),
    topic_prefix text NOT NULL CHECK (octet_length(topic_prefix) BETWEEN 1 AND 512),
    can_publish boolean NOT NULL DEFAULT true,
    can_subscribe boolean NOT NULL DEFAULT true,
    publish_filters text [],
    subscribe_filters text [],
    written_rules text NOT NULL DEFAULT '',
    secret_salt bytea NOT NULL CHECK (octet_length(secret_salt) = 16),
    secret_hash bytea NOT NULL CHECK (octet_length(secret_hash) = 32),
    previous_salt bytea,
    previous_hash bytea,
    previous_until timestamptz,
    mosquitto_hash text NOT NULL CHECK (mosquitto_hash LIKE '$7$%'),
    bcrypt_hash text NOT NULL CHECK (bcrypt_hash LIKE '$2a$%'),
    max_per_second numeric CHECK (max_per_second > 0),
    max_burst integer CHECK (max_burst > 0),
    expires_at timestamptz,
    is_expiry_logged boolean NOT NULL DEFAULT false,
    revoked_at timestamptz,
    last_connected_at timestamptz,
    connection_count bigint NOT NULL DEFAULT 0,
    broker_login_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    rotated_at timestamptz,
    UNIQUE (organization_id, id),
    FOREIGN KEY (organization_id, integration_id) REFERENCES mqtt.device_integrations (organization_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organization_id, device_id) REFERENCES mqtt.devices (organization_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organization_id, member_id) REFERENCES mqtt.organization_members (organization_id, user_id) ON DELETE CASCADE
) WITH (fillfactor = 80);
CREATE INDEX mqtt_credentials_integration_idx ON mqtt.mqtt_credentials (organization_id, integration_id);
CREATE INDEX mqtt_credentials_device_idx ON mqtt.mqtt_credentials (organization_id, device_id);
CREATE INDEX mqtt_credentials_member_idx ON mqtt.mqtt_credentials (organization_id, member_id);
CREATE INDEX mqtt_credentials_client_id_idx ON mqtt.mqtt_credentials (client_id);
CREATE INDEX mqtt_credentials_expiry_idx ON mqtt.mqtt_credentials (expires_at) WHERE NOT is_expiry_logged AND revoked_at IS NULL AND expires_at IS NOT NULL;
COMMENT ON TABLE mqtt.mqtt_credentials IS 'Device logins. The password is shown once, when it is made; kept are a fast verifier and the hashes that brokers need.';
COMMENT ON COLUMN mqtt.mqtt_credentials.member_id IS 'Whose browser it is for (the sub of the JWT); it ends with the membership. Null for a device''s login.';
COMMENT ON COLUMN mqtt.mqtt_credentials.client_id IS 'MQTT client id that it must log in with; at the hosted broker no two organizations have the same.';
COMMENT ON COLUMN mqtt.mqtt_credentials.topic_prefix IS 'Whole topic levels below which the credential may publish and subscribe.';
COMMENT ON COLUMN mqtt.mqtt_credentials.publish_filters IS 'Topic filters, beside the prefix, that a topic must match to be published to; null leaves the prefix alone.';
COMMENT ON COLUMN mqtt.mqtt_credentials.subscribe_filters IS 'Topic filters, below the prefix, that the device may subscribe to; null leaves the prefix alone.';
COMMENT ON COLUMN mqtt.mqtt_credentials.written_rules IS 'What it may publish and subscribe to, as Mosquitto''s access file has it; written by a trigger.';
COMMENT ON COLUMN mqtt.mqtt_credentials.secret_hash IS 'SHA-256 of salt and password; the password has 190 random bits, so stretching would add nothing.';
COMMENT ON COLUMN mqtt.mqtt_credentials.previous_until IS 'Until when the password before the last rotation still works.';
COMMENT ON COLUMN mqtt.mqtt_credentials.mosquitto_hash IS 'Line of Mosquitto''s password file: $7$ PBKDF2-SHA512.';
COMMENT ON COLUMN mqtt.mqtt_credentials.bcrypt_hash IS 'bcrypt with prefix $2a$, for brokers that read it from the database.';
COMMENT ON COLUMN mqtt.mqtt_credentials.max_per_second IS 'Messages a second that it may send over HTTP; null is without limit.';
COMMENT ON COLUMN mqtt.mqtt_credentials.max_burst IS 'Messages that it may send at once after a pause; null takes two seconds'' worth.';
COMMENT ON COLUMN mqtt.mqtt_credentials.last_connected_at IS 'When it was last used: over HTTP, written by the queue worker per batch, or to begin a session at a broker that tells.';
COMMENT ON COLUMN mqtt.mqtt_credentials.connection_count IS 'How often it was used: messages over HTTP, written by the queue worker per batch, and sessions at brokers that tell of them.';
COMMENT ON COLUMN mqtt.mqtt_credentials.broker_login_at IS 'When it first logged in at a broker that tells.';
COMMENT ON COLUMN mqtt.mqtt_credentials.is_expiry_logged IS 'Whether the activity log tells that expires_at has passed; maintenance writes both.';
ALTER TABLE mqtt.mqtt_credentials ENABLE ROW LEVEL SECURITY;
CREATE POLICY members_read ON mqtt.mqtt_credentials FOR SELECT TO authenticated
USING (organization_id = ANY ((SELECT mqtt.current_organization_ids())::uuid []));
CREATE POLICY service_reads ON mqtt.mqtt_credentials FOR SELECT TO service_role USING (true);
GRANT SELECT (
    id, organization_id, integration_id, device_id, member_id, username, client_id, topic_prefix, can_publish, can_subscribe,
    publish_filters, subscribe_filters, max_per_second, max_burst, previous_until, expires_at, revoked_at, last_connected_at,
    connection_count, created_at, rotated_at
) ON mqtt.mqtt_credentials TO authenticated, service_role;
COMMIT;

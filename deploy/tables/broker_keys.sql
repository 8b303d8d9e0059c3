-- Deploy topicbase:tables/broker_keys to pg
-- requires: tables/device_integrations
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TABLE mqtt.broker_keys (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id uuid,
    integration_id uuid,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    username text NOT NULL UNIQUE CHECK (username ~ '^[A-Za-z0-9_]{1,64}$'),
    key_salt bytea NOT NULL CHECK (octet_length(key_salt) = 16),
    key_hash bytea NOT NULL CHECK (octet_length(key_hash) = 32),
    vhost text NOT NULL DEFAULT '/' CHECK (length(vhost) BETWEEN 1 AND 255),
    exchange text NOT NULL DEFAULT 'amq.topic' CHECK (length(exchange) BETWEEN 1 AND 255),
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((organization_id IS NULL) = (integration_id IS NULL)),
    FOREIGN KEY (organization_id, integration_id) REFERENCES mqtt.device_integrations (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX broker_keys_integration_idx ON mqtt.broker_keys (organization_id, integration_id);
COMMENT ON TABLE mqtt.broker_keys IS
'Logins of brokers that ask over HTTP whether a device may come in and what it may do. The key is shown once, when it is made.';
COMMENT ON COLUMN mqtt.broker_keys.integration_id IS
'The integration whose credentials the broker may ask about; null is the hosted broker: the credentials of every mqtt_hosted integration, and of no other.';
COMMENT ON COLUMN mqtt.broker_keys.key_hash IS 'SHA-256 of salt and key; the key has 192 random bits.';
COMMENT ON COLUMN mqtt.broker_keys.vhost IS 'RabbitMQ: the only virtual host that devices are let into.';
COMMENT ON COLUMN mqtt.broker_keys.exchange IS 'RabbitMQ: the exchange of its MQTT plugin (mqtt.exchange).';
ALTER TABLE mqtt.broker_keys ENABLE ROW LEVEL SECURITY;
COMMIT;

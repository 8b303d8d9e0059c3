-- Deploy topicbase:base/configuration to pg
-- requires: base/verify_helpers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TABLE mqtt.configuration (
    is_only_row boolean PRIMARY KEY DEFAULT true CHECK (is_only_row),
    max_payload_bytes integer NOT NULL DEFAULT 262144 CHECK (max_payload_bytes BETWEEN 1 AND 268435455),
    max_batch_messages integer NOT NULL DEFAULT 10000 CHECK (max_batch_messages BETWEEN 1 AND 1000000),
    max_attempts smallint NOT NULL DEFAULT 3 CHECK (max_attempts BETWEEN 1 AND 100),
    retry_base interval NOT NULL DEFAULT '5 seconds' CHECK (retry_base > '0'),
    retry_cap interval NOT NULL DEFAULT '1 hour' CHECK (retry_cap > '0'),
    max_time_behind interval NOT NULL DEFAULT '366 days' CHECK (max_time_behind >= '0'),
    max_time_ahead interval NOT NULL DEFAULT '1 day' CHECK (max_time_ahead >= '0'),
    idempotency_window interval NOT NULL DEFAULT '24 hours' CHECK (idempotency_window > '0'),
    completed_days integer NOT NULL DEFAULT 7 CHECK (completed_days > 0),
    failed_days integer NOT NULL DEFAULT 30 CHECK (failed_days > 0),
    activity_days integer NOT NULL DEFAULT 30 CHECK (activity_days > 0),
    receipt_days integer NOT NULL DEFAULT 7 CHECK (receipt_days > 0),
    settled_days integer NOT NULL DEFAULT 7 CHECK (settled_days > 0),
    pack_after integer CHECK (pack_after > 0),
    rollup_days integer NOT NULL DEFAULT 1096 CHECK (rollup_days > 0),
    rollup_minute_days integer NOT NULL DEFAULT 31 CHECK (rollup_minute_days > 0),
    max_metrics integer NOT NULL DEFAULT 500 CHECK (max_metrics BETWEEN 0 AND 100000),
    callback_attempts smallint NOT NULL DEFAULT 24 CHECK (callback_attempts BETWEEN 1 AND 1000),
    max_topics integer NOT NULL DEFAULT 100000 CHECK (max_topics > 0),
    partitions_ahead integer NOT NULL DEFAULT 7 CHECK (partitions_ahead BETWEEN 1 AND 366),
    max_queued bigint NOT NULL DEFAULT 20000000 CHECK (max_queued > 0),
    min_free_bytes bigint NOT NULL DEFAULT 268435456 CHECK (min_free_bytes >= 0),
    ingest_pause text,
    publish_pause text,
    vacuum_alarm_after interval NOT NULL DEFAULT '5 minutes' CHECK (vacuum_alarm_after > '0'),
    hosted_broker_url text NOT NULL DEFAULT 'mqtt://localhost:1883',
    sealing_public_key bytea CHECK (octet_length(sealing_public_key) = 32),
    allow_private_addresses boolean NOT NULL DEFAULT false,
    allow_secret_in_path boolean NOT NULL DEFAULT false,
    max_wrong_passwords integer NOT NULL DEFAULT 10 CHECK (max_wrong_passwords > 0),
    max_connection_tests integer NOT NULL DEFAULT 60 CHECK (max_connection_tests > 0),
    max_logins integer NOT NULL DEFAULT 10000 CHECK (max_logins > 0),
    max_integrations integer NOT NULL DEFAULT 1000 CHECK (max_integrations > 0),
    max_subscriptions integer NOT NULL DEFAULT 10000 CHECK (max_subscriptions > 0),
    max_api_keys integer NOT NULL DEFAULT 100 CHECK (max_api_keys > 0),
    max_browser_logins integer NOT NULL DEFAULT 10 CHECK (max_browser_logins > 0),
    max_login_subscriptions integer NOT NULL DEFAULT 100 CHECK (max_login_subscriptions > 0),
    max_retained_messages integer NOT NULL DEFAULT 20000 CHECK (max_retained_messages >= 0),
    max_retained_bytes bigint NOT NULL DEFAULT 67108864 CHECK (max_retained_bytes >= 0),
    max_waiting integer NOT NULL DEFAULT 8 CHECK (max_waiting >= 0),
    max_waiting_per_organization integer NOT NULL DEFAULT 4 CHECK (max_waiting_per_organization >= 0),
    max_stream_connections integer NOT NULL DEFAULT 10000 CHECK (max_stream_connections >= 0),
    max_calls_per_organization integer NOT NULL DEFAULT 10 CHECK (max_calls_per_organization > 0),
    default_max_per_second numeric CHECK (default_max_per_second > 0)
);
COMMENT ON TABLE mqtt.configuration IS 'Limits and terms of this installation: one row, changed by UPDATE as mqtt_owner or superuser, in force from the next call.';
COMMENT ON COLUMN mqtt.configuration.max_payload_bytes IS 'Largest payload of one message, in bytes of its stored form; larger ones are refused with 413.';
COMMENT ON COLUMN mqtt.configuration.max_batch_messages IS 'Most messages in one mqtt_ingest_batch or mqtt_publish call; more are refused with 413.';
COMMENT ON COLUMN mqtt.configuration.max_attempts IS 'Attempts to process a message before it becomes a dead letter; an integration may set its own.';
COMMENT ON COLUMN mqtt.configuration.retry_base IS 'Wait before the second attempt; doubles with each further one, with jitter.';
COMMENT ON COLUMN mqtt.configuration.retry_cap IS 'Longest wait between two attempts.';
COMMENT ON COLUMN mqtt.configuration.max_time_behind IS 'How long before its receipt a message may say that it was measured; for an earlier time, the time of receipt is taken.';
COMMENT ON COLUMN mqtt.configuration.max_time_ahead IS 'How long after its receipt a message may say that it was measured; for a later time, the time of receipt is taken.';
COMMENT ON COLUMN mqtt.configuration.idempotency_window IS 'How long a message_id given by a client is remembered.';
COMMENT ON COLUMN mqtt.configuration.completed_days IS 'Days that the history (completed messages) is kept; an organization may set its own.';
COMMENT ON COLUMN mqtt.configuration.failed_days IS 'Days that dead letters are kept; an organization may set its own.';
COMMENT ON COLUMN mqtt.configuration.activity_days IS 'Days that the activity log is kept; an organization may set its own.';
COMMENT ON COLUMN mqtt.configuration.receipt_days IS 'Days that publish receipts, and what became of callbacks, are kept.';
COMMENT ON COLUMN mqtt.configuration.settled_days IS 'Days that the order in which messages were settled is kept: a live stream can be resumed for as long.';
COMMENT ON COLUMN mqtt.configuration.pack_after IS 'Days after which the history of a day is packed into compressed rows, but not before settled_days; null for never.';
COMMENT ON COLUMN mqtt.configuration.rollup_days IS 'Days that rollups of hours and days are kept; an organization may set its own.';
COMMENT ON COLUMN mqtt.configuration.rollup_minute_days IS 'Days that rollups of minutes are kept; an organization may set its own.';
COMMENT ON COLUMN mqtt.configuration.max_metrics IS 'Metrics of a device that are rolled up; beyond that number they are read from the history alone, as long as it is kept.';
COMMENT ON COLUMN mqtt.configuration.callback_attempts IS 'Attempts to post a message to a callback_url before that is given up; they are spread by retry_base and retry_cap, over some 14 hours by default.';
COMMENT ON COLUMN mqtt.configuration.max_topics IS 'Topics that an organization may use; messages to further ones are refused with 403, or become dead letters. Topics that no stored message has any longer do not count.';
COMMENT ON COLUMN mqtt.configuration.partitions_ahead IS 'Daily partitions kept ready ahead of today.';
COMMENT ON COLUMN mqtt.configuration.max_queued IS 'Messages waiting to be processed, of all organizations, from which on ingest is refused (429, brokers left unread) until they are fewer; likewise those waiting to be published and mqtt_publish.';
COMMENT ON COLUMN mqtt.configuration.min_free_bytes IS 'Free bytes on the data disk below which ingest and mqtt_publish are refused (429, brokers left unread) before the disk is full; 0 switches that off. Needs PL/Python.';
COMMENT ON COLUMN mqtt.configuration.publish_pause IS 'Why mqtt_publish and replays to brokers are refused just now; written by mqtt.check_capacity, null while they are not.';
COMMENT ON COLUMN mqtt.configuration.ingest_pause IS 'Why ingest is refused for everyone just now; written by mqtt.check_capacity, null while it is open.';
COMMENT ON COLUMN mqtt.configuration.vacuum_alarm_after IS 'How old a transaction may be before maintenance names it as what holds back vacuum.';
COMMENT ON COLUMN mqtt.configuration.hosted_broker_url IS 'Broker address that devices of hosted integrations are told; any of mqtt, mqtts, ws, wss.';
COMMENT ON COLUMN mqtt.configuration.sealing_public_key IS 'Curve25519 public key (32 bytes) that broker secrets are sealed to; the private key is with the bridge only.';
COMMENT ON COLUMN mqtt.configuration.allow_secret_in_path IS 'Whether senders that can set no header may have their password in the URL (/in-secret/ at the gateway): proxies and servers on the way write URLs to their logs.';
COMMENT ON COLUMN mqtt.configuration.allow_private_addresses IS 'Whether broker and callback addresses may be loopback, link-local or private (only where tenants are trusted).';
COMMENT ON COLUMN mqtt.configuration.max_waiting IS
'How many calls may wait at a time (`wait` of a long poll), each of which holds a connection of PostgREST''s pool; a further one is answered at once. Less than half of db-pool.';
COMMENT ON COLUMN mqtt.configuration.max_waiting_per_organization IS 'How many of them may wait for one organization.';
COMMENT ON COLUMN mqtt.configuration.max_stream_connections IS
'Connections to the live stream that an organization may have, in all processes together, to within what opens in a second.';
COMMENT ON COLUMN mqtt.configuration.max_calls_per_organization IS
'How many calls of an organization''s members and API keys may run at a time, each of which holds a connection of PostgREST''s pool; a third as many wait up to a second, further ones are answered 429. Half of db-pool.';
COMMENT ON COLUMN mqtt.configuration.default_max_per_second IS
'The max_per_second that an organization is created with; those that there are keep theirs. Null is without limit.';
COMMENT ON COLUMN mqtt.configuration.max_wrong_passwords IS
'Wrong passwords a minute for one username, beyond which further ones are answered 429; the right one always works.';
COMMENT ON COLUMN mqtt.configuration.max_connection_tests IS 'Connection tests an hour that an organization may ask for; further ones are refused with 429.';
COMMENT ON COLUMN mqtt.configuration.max_logins IS
'Valid credentials that an organization may have; generate_mqtt_credentials and create_browser_login refuse more with 409 login_limit_reached.';
COMMENT ON COLUMN mqtt.configuration.max_integrations IS
'Integrations that an organization may have switched on, each with a connection of a bridge; upsert_integration refuses more with 409 integration_limit_reached.';
COMMENT ON COLUMN mqtt.configuration.max_subscriptions IS
'Subscriptions that an organization may have; mqtt_subscribe refuses more with 409 subscription_limit_reached.';
COMMENT ON COLUMN mqtt.configuration.max_api_keys IS 'API keys that an organization may have; create_api_key refuses more with 409 api_key_limit_reached.';
COMMENT ON COLUMN mqtt.configuration.max_browser_logins IS
'Browser logins of one member in one organization that work at the same time; a further one ends the oldest.';
COMMENT ON COLUMN mqtt.configuration.max_login_subscriptions IS
'Topic filters that one login may be subscribed to at the hosted Mosquitto, shared subscriptions included.';
COMMENT ON COLUMN mqtt.configuration.max_retained_messages IS
'Retained messages that an organization may have at the hosted Mosquitto, counted since the broker started.';
COMMENT ON COLUMN mqtt.configuration.max_retained_bytes IS
'Bytes of topics and payloads of those messages together.';
ALTER TABLE mqtt.configuration ENABLE ROW LEVEL SECURITY;
CREATE POLICY everyone_reads ON mqtt.configuration FOR SELECT TO authenticated, service_role USING (true);
GRANT SELECT ON mqtt.configuration TO authenticated, service_role;
INSERT INTO mqtt.configuration DEFAULT VALUES;
COMMIT;

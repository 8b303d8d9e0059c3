-- Fills a database of the old schema: fill.count messages of history, fill.rest rows of each other kind, in two organizations, of the last three days.
SELECT mqtt.create_default_partition(t)
FROM unnest('{mqtt.mqtt_messages,mqtt.mqtt_dead_letters,mqtt.mqtt_publish_receipts,mqtt.integration_activity_log}'::regclass []) AS t;
INSERT INTO mqtt.configuration (completed_days, sealing_public_key) VALUES (12, decode(repeat('ab', 32), 'hex'))
ON CONFLICT (is_only_row) DO UPDATE SET completed_days = excluded.completed_days, sealing_public_key = excluded.sealing_public_key;
CREATE FUNCTION pg_temp.id(kind text, n bigint) RETURNS uuid LANGUAGE sql AS $$ SELECT md5(kind || n)::uuid $$;
CREATE FUNCTION pg_temp.rest() RETURNS integer LANGUAGE sql AS $$ SELECT current_setting('fill.rest')::integer $$;
INSERT INTO mqtt.organizations (id, name, slug, max_per_second) SELECT pg_temp.id('o', n), 'Organization ' || n, 'old' || n, 100 FROM generate_series(1, 2) AS n;
INSERT INTO mqtt.organization_members (organization_id, user_id, role)
SELECT pg_temp.id('o', n % 2 + 1), pg_temp.id('u', n), CASE WHEN n < 3 THEN 'admin' ELSE 'member' END FROM generate_series(1, pg_temp.rest()) AS n;
INSERT INTO mqtt.device_integrations (id, organization_id, name, integration_type, settings)
SELECT pg_temp.id('i', n), pg_temp.id('o', n % 2 + 1), 'Integration ' || n, CASE WHEN n <= 2 THEN 'mqtt_hosted' ELSE 'mqtt_external' END,
    CASE WHEN n <= 2 THEN '{}' ELSE jsonb_build_object(
        'broker_url', 'mqtts://broker.example.com', 'username', 'u', 'password', jsonb_build_object('sealed', translate(encode(sha256('a') || sha256('b'), 'base64'), E'\n', '')),
        'topic_pattern', 'plant/{device_id}/{message_type}'
    ) END
FROM generate_series(1, 4) AS n;
INSERT INTO mqtt.devices (organization_id, id, integration_id, external_id, metadata, last_data, last_data_at, last_seen_at)
SELECT i.organization_id, pg_temp.id('d', n), i.id, 'device-' || n, '{"room": 7}', CASE WHEN n % 3 > 0 THEN jsonb_build_object('t', n, 'state', 'on') END,
    CASE WHEN n % 3 > 0 THEN now() - interval '1 day' END, now()
FROM generate_series(1, pg_temp.rest()) AS n
JOIN mqtt.device_integrations AS i ON i.id = pg_temp.id('i', n % 4 + 1);
INSERT INTO mqtt.mqtt_credentials (
    id, organization_id, integration_id, device_id, username, client_id, topic_prefix, broker_url, secret_salt, secret_hash, mosquitto_hash, bcrypt_hash,
    publish_filters, connection_count
)
SELECT pg_temp.id('c', n), d.organization_id, d.integration_id, d.id, 'login-' || n, 'client-' || n, o.topic_prefix, 'mqtt://localhost:1883',
    decode(md5(n::text), 'hex'), sha256(decode(md5(n::text), 'hex') || convert_to('password-' || n, 'UTF8')), '$7$1$x', '$2a$x',
    CASE WHEN n % 5 = 0 THEN ARRAY[o.topic_prefix || '/devices/+/telemetry'] END, n
FROM generate_series(1, pg_temp.rest()) AS n
JOIN mqtt.devices AS d ON d.id = pg_temp.id('d', n)
JOIN mqtt.organizations AS o ON o.id = d.organization_id
JOIN mqtt.device_integrations AS i ON i.id = d.integration_id AND i.integration_type = 'mqtt_hosted';
INSERT INTO mqtt.mqtt_subscriptions (organization_id, id, integration_id, topic, qos, callback_url)
SELECT i.organization_id, pg_temp.id('s', n), i.id, 'plant/' || n || '/#', 1, CASE WHEN n % 2 = 0 THEN 'https://example.com/hook/' || n END
FROM generate_series(1, pg_temp.rest()) AS n
JOIN mqtt.device_integrations AS i ON i.id = pg_temp.id('i', n % 2 + 3);
INSERT INTO mqtt.callback_secrets (organization_id, subscription_id, sealed)
SELECT s.organization_id, s.id, '{"sealed": "c2VjcmV0"}' FROM mqtt.mqtt_subscriptions AS s WHERE s.callback_url IS NOT NULL;
INSERT INTO mqtt.broker_keys (name, username, key_salt, key_hash) VALUES ('rabbit', 'rabbit', decode(md5('k'), 'hex'), sha256('k'));
-- A message in three a minute apart, some with a time of their own, bytes, their own id; every tenth outgoing, of what is not in the topics of devices.
INSERT INTO mqtt.mqtt_messages (
    received_at, created_at, organization_id, id, integration_id, device_id, sent_at, direction, qos, retain, topic, payload, content_type, body, decode_error, properties
)
SELECT x.at, x.at + interval '7 ms', i.organization_id,
    CASE WHEN n % 7 = 0 THEN pg_temp.id('m', n) ELSE mqtt.message_id(x.at, n, n % 10 = 0) END, i.id, CASE WHEN n % 10 > 0 THEN pg_temp.id('d', x.device) END,
    CASE WHEN n % 4 = 0 THEN x.at - interval '90 s' WHEN n % 11 = 0 THEN x.at - interval '20 years' END,
    CASE WHEN n % 10 > 0 THEN 'incoming' ELSE 'outgoing' END::mqtt.message_direction, (n % 3)::smallint, n % 50 = 0,
    CASE WHEN n % 10 = 0 THEN 'other/' || x.device WHEN i.integration_type = 'mqtt_hosted' THEN o.topic_prefix || '/devices/device-' || x.device || '/telemetry'
        ELSE 'plant/device-' || x.device || '/status' END,
    CASE WHEN n % 13 = 0 THEN 'null' ELSE jsonb_build_object('temperature', 20 + n % 10, 'humidity', 48.2, 'n', n, 'status', 'ok', 'text', E'a\\b\tc\nd') END,
    CASE WHEN n % 13 = 0 THEN 'image/png' END, CASE WHEN n % 13 = 0 THEN '\x0089504e47'::bytea END, CASE WHEN n % 26 = 0 THEN 'not JSON' END,
    CASE WHEN n % 9 = 0 THEN '{"user_properties": [["a", "b"]]}'::jsonb END
FROM (
    SELECT n, 1 + n % least(pg_temp.rest(), 1000) AS device, now() - interval '3 days' + (n / 3) * 3 * interval '250000 s' / current_setting('fill.count')::integer AS at
    FROM generate_series(1, current_setting('fill.count')::bigint) AS n
) AS x
JOIN mqtt.device_integrations AS i ON i.id = pg_temp.id('i', x.device % 4 + 1)
JOIN mqtt.organizations AS o ON o.id = i.organization_id;
INSERT INTO pgmq.q_mqtt_messages (enqueued_at, vt, message, organization_id, integration_id, credential_id, message_id, body, attempts)
SELECT now() - interval '1 hour', now(), jsonb_build_object('topic', o.topic_prefix || '/devices/device-' || n || '/telemetry', 'payload', jsonb_build_object('q', n)),
    d.organization_id, d.integration_id, pg_temp.id('c', n), CASE WHEN n % 8 = 0 THEN pg_temp.id('q', n) END, NULL, CASE WHEN n % 100 = 0 THEN 1 ELSE 0 END
FROM generate_series(1, pg_temp.rest()) AS n
JOIN mqtt.devices AS d ON d.id = pg_temp.id('d', n)
JOIN mqtt.organizations AS o ON o.id = d.organization_id;
INSERT INTO pgmq.q_mqtt_outbound (enqueued_at, vt, message, organization_id, integration_id)
SELECT now(), now(), jsonb_build_object('topic', 'out/' || n, 'payload', n, 'qos', 1), i.organization_id, i.id
FROM generate_series(1, pg_temp.rest()) AS n JOIN mqtt.device_integrations AS i ON i.id = pg_temp.id('i', n % 2 + 3);
INSERT INTO mqtt.mqtt_callback_deliveries (organization_id, subscription_id, message_id, received_at, status)
SELECT m.organization_id, s.id, m.id, m.received_at, CASE WHEN s.id::text < '8' THEN 'waiting' ELSE 'delivered' END
FROM mqtt.mqtt_subscriptions AS s
CROSS JOIN LATERAL (SELECT m.* FROM mqtt.mqtt_messages AS m WHERE m.organization_id = s.organization_id LIMIT 2) AS m
WHERE s.callback_url IS NOT NULL;
INSERT INTO mqtt.mqtt_dead_letters (failed_at, received_at, organization_id, id, integration_id, direction, attempts, topic, message, body, error_message)
SELECT now() - n % 3 * interval '1 day', now() - interval '4 days', i.organization_id, pg_temp.id('x', n), i.id, 'incoming', 3, 'dead/' || n, '{"topic": "dead"}', '\x00', 'boom'
FROM generate_series(1, pg_temp.rest()) AS n JOIN mqtt.device_integrations AS i ON i.id = pg_temp.id('i', n % 4 + 1);
INSERT INTO mqtt.mqtt_publish_receipts (queued_at, organization_id, id, integration_id, qos, attempts, state, topic)
SELECT now() - n % 3 * interval '1 day', i.organization_id, pg_temp.id('r', n), i.id, 1, 1, 'acknowledged', 'out/' || n
FROM generate_series(1, pg_temp.rest()) AS n JOIN mqtt.device_integrations AS i ON i.id = pg_temp.id('i', n % 4 + 1);
INSERT INTO mqtt.ingest_keys (organization_id, credential_id, message_id)
SELECT c.organization_id, c.id, pg_temp.id('k', row_number() OVER ()) FROM mqtt.mqtt_credentials AS c;
INSERT INTO mqtt.integration_activity_log (organization_id, integration_id, activity_type, status)
SELECT i.organization_id, i.id, 'messages_processed', 'success' FROM generate_series(1, pg_temp.rest()) AS n JOIN mqtt.device_integrations AS i ON i.id = pg_temp.id('i', n % 4 + 1);
INSERT INTO mqtt.ledger (organization_id, bucket, shard, accepted, completed, dead)
SELECT x.organization_id, x.hour, -2, sum(x.done + x.dead + x.queued), sum(x.done), sum(x.dead)
FROM (
    SELECT m.organization_id, date_trunc('hour', m.received_at) AS hour, 1 AS done, 0 AS dead, 0 AS queued FROM mqtt.mqtt_messages AS m WHERE m.direction = 'incoming'
    UNION ALL
    SELECT d.organization_id, date_trunc('hour', d.received_at), 0, 1, 0 FROM mqtt.mqtt_dead_letters AS d
    UNION ALL
    SELECT q.organization_id, date_trunc('hour', q.enqueued_at), 0, 0, 1 FROM pgmq.q_mqtt_messages AS q
) AS x
GROUP BY x.organization_id, x.hour;

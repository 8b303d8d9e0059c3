-- api.upsert_integration and api.delete_integration: grants, settings, each documented error, isolation.
\ir setup.psql
SELECT plan(89);
SELECT function_privs_are('api', 'upsert_integration', ARRAY['uuid', 'text', 'text', 'jsonb', 'uuid', 'text'], 'anon', ARRAY[]::text[]);
SELECT function_privs_are('api', 'delete_integration', ARRAY['uuid'], 'anon', ARRAY[]::text[]);

SELECT act_as('authenticated', :'alice');
SELECT api.upsert_integration(:'org_alice', 'plant', 'mqtt', '{"broker_url": "broker.example.com", "port": 1883, "protocol": "mqtt", "username": "optional", "use_tls": false}') AS made \gset
SELECT is(
    :'made'::jsonb -> 'settings', '{"broker_url": "broker.example.com", "port": 1883, "protocol": "mqtt", "username": "optional", "use_tls": false}',
    'an external broker as the replaced system had it'
);
SELECT is(:'made'::jsonb ->> 'status', 'active', 'it is active');
SELECT is(:'made'::jsonb ->> 'has_password', 'false', 'it has no password');
SELECT :'made'::jsonb ->> 'id' AS made_id \gset
SELECT is((SELECT count(*) FROM mqtt.mqtt_subscriptions AS s WHERE s.integration_id = :'made_id'), 0::bigint, 'nothing is subscribed at an external broker');
SELECT api.upsert_integration(:'org_alice', 'hosted', 'mqtt_hosted') ->> 'id' AS made_hosted \gset
SELECT is(
    (SELECT array_agg(s.topic || ' ' || s.qos || ' ' || s.no_local) FROM mqtt.mqtt_subscriptions AS s WHERE s.integration_id = :'made_hosted'),
    ARRAY['org_alice/# 1 true'], 'a hosted integration brings in what its devices publish'
);
SELECT is(
    api.upsert_integration(:'org_alice', 'plant 2', 'mqtt_external', '{"broker_url": "b.example.com"}', :'made_id') -> 'settings',
    '{"broker_url": "b.example.com", "port": 1883, "protocol": "mqtt", "use_tls": false}', 'settings are replaced as a whole'
);
SELECT is(
    api.upsert_integration(:'org_alice', 'plant 3', 'mqtt', NULL, :'made_id') #>> '{settings,broker_url}', 'b.example.com', 'without settings they stay'
);
SELECT is(api.upsert_integration(:'org_alice', 'plant', 'mqtt', NULL, :'made_id', 'inactive') ->> 'status', 'inactive', 'it is switched off');
SELECT is(api.upsert_integration(:'org_alice', 'plant', 'mqtt', NULL, :'made_id') ->> 'status', 'inactive', 'and stays off');
SELECT is(api.upsert_integration(:'org_alice', 'plant', 'mqtt', NULL, :'made_id', 'active') ->> 'status', 'active', 'until it is switched on');
SELECT act_as('none');
UPDATE mqtt.device_integrations SET status = 'error', status_detail = 'refused' WHERE id = :'made_id';
SELECT act_as('authenticated', :'alice');
SELECT is(api.upsert_integration(:'org_alice', 'plant', 'mqtt', NULL, :'made_id', 'active') ->> 'status', 'error', 'active does not hide an error');

-- broker_url and what follows from it
CREATE FUNCTION pg_temp.completed(settings jsonb) RETURNS jsonb LANGUAGE sql AS
$$SELECT api.upsert_integration('11111111-0000-4000-8000-000000000001', 'x', 'mqtt', settings) -> 'settings'$$;
SELECT is(pg_temp.completed(s.given::jsonb), s.stored::jsonb, s.given)
FROM (VALUES
    ('{"broker_url": "B.Example.com."}', '{"broker_url": "b.example.com", "port": 1883, "protocol": "mqtt", "use_tls": false}'),
    ('{"broker_url": "b.example.com:1884"}', '{"broker_url": "b.example.com", "port": 1884, "protocol": "mqtt", "use_tls": false}'),
    ('{"broker_url": "ssl://b.example.com"}', '{"broker_url": "b.example.com", "port": 8883, "protocol": "mqtts", "use_tls": true}'),
    ('{"broker_url": "tcp://b.example.com:1884"}', '{"broker_url": "b.example.com", "port": 1884, "protocol": "mqtt", "use_tls": false}'),
    ('{"broker_url": "mqtts://b.example.com"}', '{"broker_url": "b.example.com", "port": 8883, "protocol": "mqtts", "use_tls": true}'),
    ('{"broker_url": "mqtt://b.example.com/", "use_tls": true}', '{"broker_url": "b.example.com", "port": 8883, "protocol": "mqtts", "use_tls": true}'),
    ('{"broker_url": "ws://b.example.com"}', '{"broker_url": "b.example.com", "port": 80, "protocol": "ws", "use_tls": false, "path": "/mqtt"}'),
    ('{"broker_url": "wss://b.example.com/x"}', '{"broker_url": "b.example.com", "port": 443, "protocol": "wss", "use_tls": true, "path": "/x"}'),
    ('{"broker_url": "2606:4700::1111"}', '{"broker_url": "2606:4700::1111", "port": 1883, "protocol": "mqtt", "use_tls": false}'),
    ('{"broker_url": "mqtt://[2606:4700::1111]:99"}', '{"broker_url": "2606:4700::1111", "port": 99, "protocol": "mqtt", "use_tls": false}'),
    ('{"broker_url": "b.example.com", "port": 8883.0, "protocol": "mqtts"}', '{"broker_url": "b.example.com", "port": 8883, "protocol": "mqtts", "use_tls": true}'),
    ('{"broker_url": "b.example.com", "keepalive": null, "has_password": true}', '{"broker_url": "b.example.com", "port": 1883, "protocol": "mqtt", "use_tls": false}')
) AS s (given, stored);
SELECT is(
    pg_temp.completed(s.given::jsonb) - '{port,protocol,use_tls}'::text [], s.given::jsonb, 'every other setting is kept as it is given'
)
FROM (VALUES ('{"broker_url": "b.example.com", "client_id": "c", "mqtt_version": "3.1.1", "clean_start": true, "session_expiry": 0, "keepalive": 60,
    "verify_certificate": false, "server_name": "b", "alpn": ["mqtt"], "topic_pattern": "{device_id}", "content_type": "application/cbor",
    "max_attempts": 5, "outbound_max_in_flight": 20, "inbound_max_per_second": 100, "username": "u", "ca_certificate": "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"}')) AS s (given);

-- Each setting out of bounds: the error names it.
SELECT refuses(
    format($$SELECT api.upsert_integration(%L, 'x', %L, %L)$$, :'org_alice', s.kind, s.settings), 'PT400', 'setting_invalid', s.settings, 'settings.' || s.name || ' %'
)
FROM (VALUES
    ('mqtt', 'broker_url', '{}'),
    ('mqtt', 'broker_url', '{"broker_url": ""}'),
    ('mqtt', 'broker_url', '{"broker_url": 7}'),
    ('mqtt', 'broker_url', '{"broker_url": "http://b.example.com"}'),
    ('mqtt', 'broker_url', '{"broker_url": "mqtt://u:p@b.example.com"}'),
    ('mqtt', 'broker_url', '{"broker_url": "u@b.example.com"}'),
    ('mqtt', 'broker_url', '{"broker_url": "mqtt://b.example.com?x"}'),
    ('mqtt', 'broker_url', '{"broker_url": "b.example.com:0"}'),
    ('mqtt', 'broker_url', '{"broker_url": "127.0.0.1"}'),
    ('mqtt', 'broker_url', '{"broker_url": "mqtt://169.254.169.254"}'),
    ('mqtt', 'broker_url', '{"broker_url": "unix:///run/x"}'),
    ('mqtt', 'path', '{"broker_url": "mqtt://b.example.com/x"}'),
    ('mqtt', 'path', '{"broker_url": "b.example.com", "path": "/x"}'),
    ('mqtt', 'path', '{"broker_url": "ws://b.example.com", "path": "x"}'),
    ('mqtt', 'path', '{"broker_url": "ws://b.example.com/a", "path": "/b"}'),
    ('mqtt', 'port', '{"broker_url": "b.example.com:1", "port": 2}'),
    ('mqtt', 'port', '{"broker_url": "b.example.com", "port": 65536}'),
    ('mqtt', 'port', '{"broker_url": "b.example.com", "port": "1883"}'),
    ('mqtt', 'port', '{"broker_url": "b.example.com", "port": 1e400}'),
    ('mqtt', 'protocol', '{"broker_url": "b.example.com", "protocol": "tcp"}'),
    ('mqtt', 'protocol', '{"broker_url": "mqtts://b.example.com", "protocol": "mqtt"}'),
    ('mqtt', 'use_tls', '{"broker_url": "mqtts://b.example.com", "use_tls": false}'),
    ('mqtt', 'use_tls', '{"broker_url": "b.example.com", "use_tls": "no"}'),
    ('mqtt', 'verify_certificate', '{"broker_url": "b.example.com", "verify_certificate": 0}'),
    ('mqtt', 'ca_certificate', '{"broker_url": "b.example.com", "ca_certificate": "x"}'),
    ('mqtt', 'client_key', '{"broker_url": "b.example.com", "client_certificate": "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"}'),
    ('mqtt', 'alpn', '{"broker_url": "b.example.com", "alpn": "mqtt"}'),
    ('mqtt', 'keepalive', '{"broker_url": "b.example.com", "keepalive": 1}'),
    ('mqtt', 'mqtt_version', '{"broker_url": "b.example.com", "mqtt_version": 5}'),
    ('mqtt', 'clean_start', '{"broker_url": "b.example.com", "clean_start": 1}'),
    ('mqtt', 'session_expiry', '{"broker_url": "b.example.com", "session_expiry": -1}'),
    ('mqtt', 'client_id', '{"broker_url": "b.example.com", "client_id": "a\u0007"}'),
    ('mqtt', 'topic_pattern', '{"broker_url": "b.example.com", "topic_pattern": "a/b"}'),
    ('mqtt', 'content_type', '{"broker_url": "b.example.com", "content_type": "json"}'),
    ('mqtt', 'max_attempts', '{"broker_url": "b.example.com", "max_attempts": 0}'),
    ('mqtt', 'outbound_max_in_flight', '{"broker_url": "b.example.com", "outbound_max_in_flight": 1.5}'),
    ('mqtt_hosted', 'inbound_max_per_second', '{"inbound_max_per_second": 0}'),
    ('mqtt', 'Port', '{"broker_url": "b.example.com", "Port": 1883}'),
    ('mqtt', '''; DROP TABLE x; --', '{"broker_url": "b.example.com", "''; DROP TABLE x; --": 1}'),
    ('mqtt_hosted', 'broker_url', '{"broker_url": "b.example.com"}'),
    ('mqtt_hosted', 'password', '{"password": "x"}')
) AS s (kind, name, settings);
SELECT refuses(
    format($$SELECT api.upsert_integration(%L, 'x', 'mqtt', '{"broker_urll": 1}')$$, :'org_alice'), 'PT400', 'setting_invalid', 'a name that is none', 'settings.broker_urll is not a setting.'
);
SELECT refuses(format($$SELECT api.upsert_integration(%L, 'x', 'mqtt', '[]')$$, :'org_alice'), 'PT400', 'setting_invalid', 'settings are an object');

SELECT refuses(format($$SELECT api.upsert_integration(%L, '', 'mqtt_hosted')$$, :'org_alice'), 'PT400', 'name_invalid', 'an empty name');
SELECT refuses(format($$SELECT api.upsert_integration(%L, 'x', 'amqp')$$, :'org_alice'), 'PT400', 'integration_type_invalid', 'an unknown type');
SELECT refuses(format($$SELECT api.upsert_integration(%L, 'x', 'mqtt_hosted', status => 'error')$$, :'org_alice'), 'PT400', 'status_invalid', 'error is not for callers');
SELECT refuses(
    format($$SELECT api.upsert_integration(%L, 'x', 'mqtt', '{"broker_url": "b.example.com"}', %L)$$, :'org_alice', :'hosted'),
    'PT409', 'integration_type_fixed', 'hosted stays hosted'
);
SELECT refuses(format($$SELECT api.upsert_integration(%L, 'x', 'mqtt_hosted')$$, :'org_bob'), 'PT404', 'organization_not_found', 'another organization');
SELECT refuses(
    format($$SELECT api.upsert_integration(%L, 'x', 'mqtt_hosted', '{}', %L)$$, :'org_alice', :'bob_hosted'), 'PT404', 'integration_not_found',
    'another organization''s integration'
);
SELECT refuses(format('SELECT api.delete_integration(%L)', :'bob_hosted'), 'PT404', 'integration_not_found', 'for deletion too');

-- One client id at one broker
SELECT api.upsert_integration(:'org_alice', 'first', 'mqtt', '{"broker_url": "MQTTS://same.example.com", "client_id": "c"}') ->> 'id' AS first \gset
SELECT refuses(
    format($$SELECT api.upsert_integration(%L, 'x', 'mqtt', '{"broker_url": "same.example.com", "port": 8883, "protocol": "mqtts", "client_id": "c"}')$$, :'org_alice'),
    'PT409', 'client_id_in_use', 'the same client id at the same broker', '%"first"%'
);
SELECT refuses(
    format($$SELECT api.upsert_integration(%L, 'x', 'mqtt', '{"broker_url": "broker.example.com", "client_id": "topicbase%s"}')$$, :'org_alice', left(replace(:'external', '-', ''), 14)),
    'PT409', 'client_id_in_use', 'also one that an integration has without naming it'
);
SELECT lives_ok(
    format($$SELECT api.upsert_integration(%L, s.name, 'mqtt', s.settings::jsonb, status => s.status) FROM (VALUES
        ('other id', '{"broker_url": "mqtts://same.example.com", "client_id": "d"}', 'active'), ('other port', '{"broker_url": "same.example.com", "client_id": "c"}', 'active'),
        ('off', '{"broker_url": "mqtts://same.example.com", "client_id": "c"}', 'inactive')) AS s (name, settings, status)$$, :'org_alice'),
    'another id, another broker, or one that is switched off'
);
SELECT refuses(
    format($$SELECT api.upsert_integration(%L, 'off', 'mqtt', NULL, id, 'active') FROM api.device_integrations WHERE name = 'off'$$, :'org_alice'), 'PT409', 'client_id_in_use', 'nor switched on'
);
SELECT lives_ok(format($$SELECT api.upsert_integration(%L, 'renamed', 'mqtt', NULL, %L)$$, :'org_alice', :'first'), 'the first can be changed');
SELECT act_as('authenticated', :'bob');
SELECT lives_ok(
    format($$SELECT api.upsert_integration(%L, 'x', 'mqtt', '{"broker_url": "mqtts://same.example.com", "client_id": "c"}')$$, :'org_bob'),
    'another organization is not told of it'
);
SELECT act_as('authenticated', :'anna');
SELECT refuses(format($$SELECT api.upsert_integration(%L, 'x', 'mqtt_hosted')$$, :'org_alice'), 'PT403', 'admin_required', 'a member may not');
SELECT refuses(format('SELECT api.delete_integration(%L)', :'hosted'), 'PT403', 'admin_required', 'nor delete');
SELECT act_as('service_role');
SELECT refuses(
    format($$SELECT api.upsert_integration(%L, 'x', 'mqtt_hosted', '{}', %L)$$, :'org_bob', :'hosted'), 'PT404', 'integration_not_found',
    'service_role names the right organization'
);

-- Deletion
SELECT api.mqtt_publish(:'external', '[{"topic": "a", "payload": 1}]') #>> '{receipts,0,receipt_id}' AS receipt \gset
SELECT act_as('authenticated', :'alice');
SELECT is(api.delete_integration(:'external') ->> 'name', 'external', 'an admin deletes');
SELECT is((SELECT r.state FROM api.get_mqtt_publish_receipts(ARRAY[:'receipt'::uuid]) AS r), 'cancelled', 'what it had to publish is cancelled');
SELECT is(
    (SELECT array_agg(DISTINCT a.activity_type ORDER BY a.activity_type) FROM mqtt.integration_activity_log AS a),
    '{integration_created,integration_deleted,integration_updated,subscription_added}', 'all of it is in the activity log'
);
SELECT is((SELECT count(*) FROM mqtt.integration_activity_log AS a WHERE a.details::text LIKE '%example.com%'), 0::bigint, 'without the values of settings');
SELECT * FROM finish();
ROLLBACK;

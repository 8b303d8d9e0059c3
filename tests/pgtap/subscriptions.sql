-- api.mqtt_subscribe, mqtt_unsubscribe, mqtt_test_connection, get_mqtt_request: grants, happy paths, each documented error, isolation.
\ir setup.psql
SELECT plan(65);
SELECT function_privs_are('api', 'mqtt_subscribe', ARRAY['uuid', 'text', 'integer', 'text', 'uuid', 'boolean', 'integer', 'boolean', 'boolean', 'jsonb'], 'anon', ARRAY[]::text[]);
SELECT function_privs_are('api', 'mqtt_unsubscribe', ARRAY['uuid'], 'anon', ARRAY[]::text[]);
SELECT function_privs_are('api', 'mqtt_test_connection', ARRAY['uuid', 'uuid'], 'anon', ARRAY[]::text[]);
SELECT function_privs_are('api', 'get_mqtt_request', ARRAY['uuid', 'numeric', 'text'], 'anon', ARRAY[]::text[]);

UPDATE mqtt.configuration SET sealing_public_key = decode(repeat('09', 32), 'hex');
SELECT act_as('authenticated', :'alice');
SELECT api.mqtt_subscribe(:'external', 'plant/+/up/#', 1, 'https://hooks.example.com/in', callback_secret => jsonb_build_object('sealed', repeat('AAAA', 35))) AS made \gset
SELECT :'made'::jsonb ->> 'id' AS id \gset
SELECT is(
    :'made'::jsonb - '{id,created_at,updated_at,organization_id,integration_id}'::text [],
    '{"qos": 1, "topic": "plant/+/up/#", "status": "pending", "no_local": true, "is_paused": false, "granted_qos": null,
    "callback_url": "https://hooks.example.com/in", "callback_ordered": false, "callback_gone_at": null, "status_detail": null, "retain_handling": 0}',
    'a subscription'
);
SELECT act_as('none');
UPDATE mqtt.mqtt_subscriptions SET status = 'active', granted_qos = 1 WHERE id = :'id';
SELECT act_as('authenticated', :'alice');
SELECT is(api.mqtt_subscribe(:'external', 'plant/+/up/#', 1) ->> 'id', :'id', 'the same filter is the same subscription');
SELECT is(s.callback_url || s.status, NULL, 'its callback is gone') FROM api.mqtt_subscriptions AS s WHERE s.id = :'id';
SELECT is(s.status, 'active', 'which is nothing to the broker') FROM api.mqtt_subscriptions AS s WHERE s.id = :'id';
SELECT is(api.mqtt_subscribe(:'external', 'plant/+/up/#', 2) ->> 'status', 'pending', 'another QoS has to be granted again');
SELECT is(api.mqtt_subscribe(:'external', 'plant/+/up/#', 2, is_paused => true) ->> 'is_paused', 'true', 'and pauses');
SELECT is(api.mqtt_subscribe(:'external', 'plant/+/up/#', 2) ->> 'is_paused', 'false', 'until it is asked for again');
SELECT is(api.mqtt_subscribe(:'external', '$share/g/#') ->> 'no_local', 'false', 'a shared subscription has no No Local');
SELECT is(api.mqtt_subscribe(:'hosted', 'org_alice/devices/+/status', organization_id => :'org_alice', no_local => false, retain_handling => 2) ->> 'retain_handling', '2', 'at the hosted broker');
SELECT is(api.mqtt_subscribe(:'hosted', '$share/g/org_alice/#') ->> 'topic', '$share/g/org_alice/#', 'shared, too');
SELECT refuses(format('SELECT api.mqtt_subscribe(%L, %s)', :'external', a.argument), 'PT400', a.slug, left(a.argument, 60))
FROM (VALUES
    ('NULL', 'topic_invalid'), (quote_literal(''), 'topic_invalid'), ('''a#''', 'topic_invalid'), ('''#/a''', 'topic_invalid'), ('''a+/b''', 'topic_invalid'),
    ('''$share/g''', 'topic_invalid'), ('''$share//x''', 'topic_invalid'), ('E''a\u0007''', 'topic_invalid'), ('repeat(''x'', 2049)', 'topic_invalid'),
    ('''a'', 3', 'qos_invalid'), ('''a'', -1', 'qos_invalid'), ('''a'', NULL', 'qos_invalid'), ('''a'', retain_handling => 3', 'retain_handling_invalid'),
    ('''a'', 0, ''http://127.0.0.1/''', 'callback_url_invalid'), ('''a'', 0, ''ftp://example.com/''', 'callback_url_invalid'),
    ('''a'', 0, ''https://u:p@example.com/''', 'callback_url_invalid'), ('''a'', 0, ''''', 'callback_url_invalid')
) AS a (argument, slug);
SELECT refuses(format('SELECT api.mqtt_subscribe(%L, %L)', :'hosted', t), 'PT403', 'topic_not_allowed', t)
FROM unnest('{#,org_bob/#,+/devices/#,org_alicex/#,$SYS/#,$share/g/#,$share/g/org_bob/x,org_alice}'::text []) AS t;
SELECT refuses(format($$SELECT api.mqtt_subscribe(%L, 'a')$$, :'bob_external'), 'PT404', 'integration_not_found', 'another organization''s integration');
SELECT refuses(format($$SELECT api.mqtt_subscribe(%L, 'a', organization_id => %L)$$, :'external', :'org_bob'), 'PT404', 'integration_not_found', 'the wrong organization');
SELECT act_as('service_role');
SELECT lives_ok(format($$SELECT api.mqtt_subscribe(%L, 'test/#')$$, :'hosted'), 'service_role may subscribe to anything');
SELECT act_as('authenticated', :'anna');
SELECT refuses(format($$SELECT api.mqtt_subscribe(%L, 'a')$$, :'external'), 'PT403', 'admin_required', 'a member');
SELECT refuses(format('SELECT api.mqtt_unsubscribe(%L)', :'id'), 'PT403', 'admin_required', 'a member cannot unsubscribe');
SELECT act_as('authenticated', :'bob');
SELECT refuses(format('SELECT api.mqtt_unsubscribe(%L)', :'id'), 'PT404', 'subscription_not_found', 'another organization''s subscription');
SELECT act_as('authenticated', :'alice');
SELECT is(api.mqtt_unsubscribe(:'id') ->> 'topic', 'plant/+/up/#', 'unsubscribed');
SELECT refuses(format('SELECT api.mqtt_unsubscribe(%L)', :'id'), 'PT404', 'subscription_not_found', 'only once');

-- Connection tests
SELECT act_as('none');
UPDATE mqtt.device_integrations SET updated_at = now() - interval '1 hour';
SELECT act_as('authenticated', :'alice');
SELECT api.mqtt_test_connection(:'external', :'org_alice') ->> 'request_id' AS request \gset
SELECT answered('202', 'a test is accepted');
SELECT is(api.get_mqtt_request(:'request') ->> 'status', 'queued', 'and waits for the bridge');
SELECT is(api.mqtt_test_connection(:'external') ->> 'request_id', :'request', 'one open test serves all');
SELECT act_as('none');
UPDATE mqtt.mqtt_requests SET status = 'done', result = '{"ok": true, "reason": "connected"}', finished_at = now() WHERE id = :'request';
SELECT act_as('authenticated', :'anna');
SELECT is(api.get_mqtt_request(:'request', 20) -> 'result', '{"ok": true, "reason": "connected"}', 'a member reads the verdict');
SELECT refuses(format('SELECT api.get_mqtt_request(%L, 21)', :'request'), 'PT400', 'wait_invalid', 'too long a wait');
SELECT refuses(format('SELECT api.mqtt_test_connection(%L)', :'external'), 'PT403', 'admin_required', 'a member cannot test');
SELECT act_as('authenticated', :'bob');
SELECT refuses(format('SELECT api.get_mqtt_request(%L)', :'request'), 'PT404', 'request_not_found', 'another organization''s request');
SELECT refuses(format('SELECT api.mqtt_test_connection(%L)', :'external'), 'PT404', 'integration_not_found', 'another organization''s integration');
SELECT refuses(format('SELECT api.mqtt_test_connection(%L, %L)', :'bob_external', :'org_alice'), 'PT404', 'integration_not_found', 'the wrong organization');
SELECT act_as('service_role');
SELECT lives_ok(format('SELECT api.mqtt_test_connection(%L, %L)', :'external', :'org_alice'), 'service_role tests, as the replaced system''s curl command does');
SELECT act_as('none');
UPDATE mqtt.mqtt_requests SET status = 'done';
UPDATE mqtt.configuration SET max_connection_tests = 2;
SELECT act_as('authenticated', :'alice');
SELECT throws_like(format('SELECT api.mqtt_test_connection(%L)', :'external'), '%"too_many_tests"%', 'an organization has so many an hour');
SELECT act_as('authenticated', :'bob');
SELECT lives_ok(format('SELECT api.mqtt_test_connection(%L)', :'bob_external'), 'each its own');
SELECT act_as('none');
UPDATE mqtt.mqtt_requests SET created_at = now() - interval '61 minutes' WHERE organization_id = :'org_alice' AND id = :'request';
SELECT act_as('authenticated', :'alice');
SELECT lives_ok(format('SELECT api.mqtt_test_connection(%L)', :'external'), 'an hour later there is room again');
-- Its number at the broker leaves with each SUBSCRIBE: it tells nobody how many subscriptions others have made.
SELECT act_as('none');
SELECT is(
    (SELECT count(DISTINCT mqtt.permuted_number(n)) FROM generate_series(1, 3000) AS n WHERE mqtt.permuted_number(n) BETWEEN 1 AND 268435455), 3000::bigint, 'numbers that are all different'
);
SELECT ok((SELECT min(abs(p.next - p.number)) > 1 FROM (
    SELECT mqtt.permuted_number(n) AS number, mqtt.permuted_number(n + 1) AS next FROM generate_series(1, 300) AS n
) AS p), 'of which none tells the next');
SELECT ok((SELECT count(*) FILTER (WHERE p.next > p.number) BETWEEN 100 AND 200 FROM (
    SELECT mqtt.permuted_number(n) AS number, mqtt.permuted_number(n + 1) AS next FROM generate_series(1, 300) AS n
) AS p), 'nor which came first');
SELECT act_as('authenticated', :'alice');
SELECT api.mqtt_subscribe(:'external', 'number/' || n) FROM generate_series(1, 2) AS n;
SELECT act_as('none');
SELECT ok(abs(a.number - b.number) > 1, 'as subscriptions have them')
FROM mqtt.mqtt_subscriptions AS a INNER JOIN mqtt.mqtt_subscriptions AS b ON b.topic = 'number/2' WHERE a.topic = 'number/1';
INSERT INTO mqtt.mqtt_subscriptions (organization_id, integration_id, topic, number) VALUES (:'org_alice', :'external', 'number/3', 7);
SELECT is(s.number, 7, 'one that is brought along is kept') FROM mqtt.mqtt_subscriptions AS s WHERE s.topic = 'number/3';
SELECT * FROM finish();
ROLLBACK;

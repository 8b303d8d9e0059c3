-- What the bridge calls: leases, claims, settling, ingest, states, accounts, requests; each under its lease, and nothing but these.
\ir setup.psql
SELECT plan(80);
\set one 'aaaaaaaa-0000-4000-8000-000000000001'
\set two 'aaaaaaaa-0000-4000-8000-000000000002'
DELETE FROM mqtt.bridges;
SELECT act_as('mqtt_bridge');

-- Saying hello
SELECT refuses(format($$SELECT bridge.hello(%L, 'x', '1', 2)$$, :'one'), 'PT400', 'bridge_incompatible', 'another version of the calls');
SELECT is(bridge.hello(:'one', 'host:1', '1', 1) ->> 'max_payload_bytes', '262144', 'hello tells the limits');
SELECT is(bridge.heartbeat(:'one'), '{}', 'a heartbeat; nobody is silent');
SELECT is(bridge.heartbeat(:'unknown'), NULL, 'a bridge that never said hello is told so');
SELECT is(bridge.sleep('outbound'), 'asleep', 'falls asleep');
SELECT is(bridge.sleep('outbound'), 'asleep', 'and again in the same session');
SELECT lives_ok($$SELECT bridge.wake('outbound'), bridge.wake('outbound')$$, 'wakes');

-- Leases
SELECT is(bridge.take_integrations(:'one'), 4, 'takes what nobody holds');
SELECT is(bridge.take_integrations(:'one'), 0, 'once');
SELECT is((SELECT count(*)::integer FROM bridge.integrations(:'one')), 4, 'and has to connect them');
SELECT is(
    (SELECT array_agg(i.is_changed ORDER BY i.is_changed) FROM bridge.integrations(:'one', (
        SELECT jsonb_object_agg(k.id, k.stamp) FROM bridge.integrations(:'one') AS k WHERE k.id <> :'external'
    )) AS i),
    '{f,f,f,t}', 'of what it knows it hears no more than that it is there'
);
SELECT is((SELECT count(*)::integer FROM bridge.integrations(:'two')), 0, 'another bridge has none');
SELECT is(bridge.surplus_integrations(:'one'), '{}', 'alone, it has none too many');
SELECT act_as('none');
INSERT INTO mqtt.bridges (id, name, version, main_pid) VALUES (:'two', 'host:2', '1', 1);
SELECT count(pg_advisory_lock(mqtt.bridge_lock(:'two'))) \g /dev/null
SELECT act_as('mqtt_bridge');
SELECT is(cardinality(bridge.surplus_integrations(:'one')), 1, 'with a second bridge, it holds one more than its share and no more');
SELECT lives_ok(format('SELECT bridge.release_integrations(%L, bridge.surplus_integrations(%1$L))', :'one'), 'gives it back');
SELECT is(bridge.take_integrations(:'two'), 1, 'which the other takes');
SELECT act_as('none');
DELETE FROM mqtt.bridge_leases;
INSERT INTO mqtt.bridge_leases (organization_id, integration_id, bridge_id)
VALUES (:'org_alice', :'hosted', :'one'), (:'org_alice', :'external', :'one'), (:'org_bob', :'bob_external', :'two');

-- Claims
INSERT INTO pgmq.q_mqtt_outbound (vt, message, organization_id, integration_id, expires_at, attempts, body)
VALUES
    (now() - interval '4 s', '{"topic": "a", "payload": {"on": true}, "qos": 1}', :'org_alice', :'external', NULL, 0, NULL),
    (now() - interval '3 s', '{"topic": "b", "content_type": "x/y", "retain": true}', :'org_alice', :'external', now() + interval '1 h', 0, '\x00ff'),
    (now() - interval '2 s', '{"topic": "c/#", "payload": 1}', :'org_alice', :'external', NULL, 0, NULL),
    (now() - interval '1 s', '{"topic": "late", "payload": 1}', :'org_alice', :'external', now() - interval '1 s', 0, NULL),
    (now() + interval '1 h', '{"topic": "later", "payload": 1}', :'org_alice', :'external', NULL, 0, NULL),
    (now() - interval '9 s', '{"topic": "bob", "payload": 1}', :'org_bob', :'bob_external', NULL, 0, NULL);
CREATE TEMPORARY TABLE claimed AS SELECT c.* FROM bridge.claim_outbound(:'one', ARRAY[:'hosted', :'external']::uuid [], '{10,10}') WITH ORDINALITY AS c;
SELECT results_eq(
    'SELECT integration_number, qos::integer, retain, topic, payload, properties, round(expires_in, -2)::integer, fault IS NOT NULL FROM claimed ORDER BY ordinality',
    $$VALUES
        (2, 1, false, 'a', convert_to('{"on": true}', 'UTF8'), NULL::jsonb, NULL::integer, false),
        (2, 0, true, 'b', '\x00ff'::bytea, '{"content_type": "x/y"}'::jsonb, 3600, false),
        (2, 0, false, 'c/#', convert_to('1', 'UTF8'), NULL, NULL, true)$$,
    'what is due, in order, as bytes, with what it has to know; what cannot be published says why'
);
SELECT is((SELECT count(*) FROM mqtt.outbound_batches), 1::bigint, 'one journal row for the batch');
SELECT is((SELECT sum(q.read_ct) + sum(q.attempts) FROM pgmq.q_mqtt_outbound AS q), 0::bigint, 'and no row of the queue was touched');
SELECT is_empty(
    format($$SELECT * FROM bridge.claim_outbound(%L, ARRAY[%L]::uuid [], '{10}', (SELECT array_agg(msg_id) FROM claimed))$$, :'one', :'external'),
    'what is in flight is not claimed again'
);
SELECT is_empty(
    format($$SELECT * FROM bridge.claim_outbound(%L, ARRAY[%L, %L]::uuid [], '{10,10}')$$, :'two', :'external', :'hosted'), 'nor by another bridge'
);
SELECT is(
    (SELECT array_agg(c.topic) FROM bridge.claim_outbound(:'two', ARRAY[:'bob_external', :'external']::uuid [], '{10,10}') AS c), '{bob}',
    'which gets its own'
);

-- Expiry
SELECT is(bridge.expire_outbound(), 1, 'what is past its time is settled');
SELECT is((SELECT r.state FROM mqtt.mqtt_publish_receipts AS r WHERE r.topic = 'late'), 'expired', 'as expired');
UPDATE pgmq.q_mqtt_outbound SET expires_at = now() - interval '1 s' WHERE message ->> 'topic' = 'b';
SELECT is(bridge.expire_outbound(), 0, 'but not what a bridge has claimed');

-- Settling
SELECT is(
    bridge.settle_outbound(:'two', (SELECT array_agg(c.msg_id) FROM claimed AS c), '{acknowledged,sent,failed}', '{0,NULL,NULL}', '{}'), '{}',
    'a bridge without the lease settles nothing'
);
SELECT is(
    bridge.settle_outbound(
        :'one', (SELECT array_agg(c.msg_id ORDER BY c.ordinality) FROM claimed AS c), '{acknowledged,sent,failed}', '{0,NULL,135}',
        ARRAY[NULL, NULL, 'Not authorized'], (SELECT array_agg(DISTINCT c.batch_id) FROM claimed AS c)
    ),
    '{"sent": 1, "failed": 1, "acknowledged": 1}', 'the holder does'
);
SELECT results_eq(
    $$SELECT topic, state, qos::integer, attempts::integer, reason_code::integer, reason FROM mqtt.mqtt_publish_receipts WHERE topic IN ('a', 'b', 'c/#') ORDER BY 1$$,
    $$VALUES ('a', 'acknowledged', 1, 1, 0, NULL), ('b', 'sent', 0, 1, NULL, NULL), ('c/#', 'failed', 0, 1, 135, 'Not authorized')$$,
    'receipts'
);
SELECT results_eq(
    $$SELECT topic, payload, body, retain, content_type FROM mqtt.mqtt_messages WHERE direction = 'outgoing' AND organization_id = '11111111-0000-4000-8000-000000000001' ORDER BY 1$$,
    $$VALUES ('a', '{"on": true}'::jsonb, NULL::bytea, false, NULL), ('b', 'null', '\x00ff', true, 'x/y')$$,
    'history of what went out'
);
SELECT results_eq(
    $$SELECT topic, error_message, attempts::integer, errors -> 0 ->> 'code' FROM mqtt.mqtt_dead_letters WHERE direction = 'outgoing'$$,
    $$VALUES ('c/#', 'Not authorized', 1, '135')$$, 'a dead letter of what failed'
);
SELECT results_eq(
    $$SELECT activity_type, message_count, status FROM mqtt.integration_activity_log WHERE direction = 'outgoing' ORDER BY 1$$,
    $$VALUES ('messages_published', 2, 'success'), ('publish_expired', 1, 'failed'), ('publish_failed', 1, 'failed')$$,
    'the activity log has a row for each kind, with its count'
);
SELECT is((SELECT count(*) FROM mqtt.outbound_batches AS b WHERE b.bridge_id = :'one'), 0::bigint, 'the journal is clear');
SELECT is(
    bridge.settle_outbound(:'one', (SELECT array_agg(c.msg_id) FROM claimed AS c), '{sent,sent,sent}', '{}', '{}'), '{}', 'settling again does nothing'
);

-- A bridge that dies with claimed messages
INSERT INTO pgmq.q_mqtt_outbound (vt, message, organization_id, integration_id)
SELECT now(), jsonb_build_object('topic', 'm/' || n, 'payload', n, 'qos', 1), :'org_alice', :'external' FROM generate_series(1, 5) AS n;
SELECT is((SELECT count(*)::integer FROM bridge.claim_outbound(:'one', ARRAY[:'external']::uuid [], '{3}')), 3, 'one bridge takes three of five');
SELECT act_as('none');
DELETE FROM mqtt.bridges WHERE id = :'one';
SELECT act_as('mqtt_bridge');
SELECT ok(bridge.take_integrations(:'two') >= 1, 'it is gone; another takes over');
SELECT act_as('none');
SELECT is((SELECT array_agg(q.attempts ORDER BY q.msg_id) FROM pgmq.q_mqtt_outbound AS q WHERE q.message ->> 'topic' LIKE 'm/%'), '{1,1,1,0,0}', 'what it had begun counts as an attempt');
UPDATE pgmq.q_mqtt_outbound SET attempts = 2 WHERE message ->> 'topic' = 'm/3';
SELECT is((SELECT array_agg(c.topic) FROM bridge.claim_outbound(:'two', ARRAY[:'external']::uuid [], '{10}') AS c), '{m/1}', 'after two such ends, one goes at a time');
UPDATE pgmq.q_mqtt_outbound SET attempts = 3 WHERE message ->> 'topic' = 'm/1';
SELECT matches((SELECT c.fault FROM bridge.claim_outbound(:'two', ARRAY[:'external']::uuid [], '{10}') AS c), 'its bridge ended each time', 'after three, it is given up');
UPDATE mqtt.configuration SET max_attempts = 1;
UPDATE pgmq.q_mqtt_outbound SET attempts = 2 WHERE message ->> 'topic' = 'm/1';
SELECT is((SELECT c.fault FROM bridge.claim_outbound(:'two', ARRAY[:'external']::uuid [], '{10}') AS c), NULL, 'and not before, however few attempts a message has to be processed');
UPDATE mqtt.configuration SET max_attempts = 3;

-- The longest message_expiry
DELETE FROM pgmq.q_mqtt_outbound;
INSERT INTO pgmq.q_mqtt_outbound (vt, message, organization_id, integration_id, expires_at)
VALUES (now(), '{"topic": "a", "payload": 1}', :'org_alice', :'external', now() + make_interval(secs => 4294967295));
SELECT is((SELECT c.expires_in FROM bridge.claim_outbound(:'two', ARRAY[:'external']::uuid [], '{10}') AS c), 2147483647, 'the longest message_expiry keeps nothing from being claimed');

-- Ingest
DELETE FROM mqtt.bridge_leases;
INSERT INTO mqtt.bridge_leases (organization_id, integration_id, bridge_id) VALUES (:'org_alice', :'external', :'two'), (:'org_bob', :'bob_external', :'two');
SELECT is(
    bridge.ingest(
        :'two', ARRAY[:'external', :'bob_external', :'hosted']::uuid [], '{1,2,3,1,1,1}', ARRAY['a', 'b', 'c', E'bell\u0007', '$SYS/x', 'large'],
        ARRAY['1', '\x00', '3', '4', '5', convert_to(repeat('x', 262145), 'UTF8')]::bytea [], '{0,2,1,0,0,0}', '{f,t,f,f,f,f}',
        ARRAY[NULL, 'x/y', NULL, NULL, NULL, NULL], ARRAY[NULL, '{"k": 1}', NULL, NULL, NULL, NULL]::jsonb []
    ),
    jsonb_build_object('queued', 3, 'dead', 2, 'passed_over', 1, 'not_held', ARRAY[:'hosted']), 'queued, dead at once, and not its own'
);
SELECT results_eq(
    $$SELECT message, body, organization_id, credential_id IS NULL FROM pgmq.q_mqtt_messages ORDER BY msg_id$$,
    $$VALUES
        ('{"topic": "a"}'::jsonb, '1'::bytea, '11111111-0000-4000-8000-000000000001'::uuid, true),
        ('{"topic": "b", "qos": 2, "retain": true, "content_type": "x/y", "properties": {"k": 1}}', '\x00', '22222222-0000-4000-8000-000000000001', true),
        ('{"topic": "$SYS/x"}', '5', '11111111-0000-4000-8000-000000000001', true)$$,
    'byte for byte, defaults left out'
);
SELECT results_eq(
    $$SELECT topic, octet_length(body), error_message FROM mqtt.mqtt_dead_letters WHERE direction = 'incoming' ORDER BY 2$$,
    $$VALUES (E'bell\u0007', 1, 'A topic name must not contain control characters or non-characters.'), ('large', 4096, 'The payload has 262145 bytes; this installation takes at most 262144.')$$,
    'the dead say why'
);
SELECT is(
    (SELECT sum(l.accepted) - sum(l.dead) FROM mqtt.ledger AS l WHERE l.organization_id IN (:'org_alice', :'org_bob'))::bigint,
    (SELECT count(*) FROM pgmq.q_mqtt_messages), 'the ledger adds up'
);
SELECT is(bridge.ingest(:'two', '{}', '{}', '{}', '{}', '{}', '{}'), '{"queued": 0, "dead": 0, "passed_over": 0}', 'nothing is nothing');
DELETE FROM pgmq.q_mqtt_messages;
SELECT bridge.ingest(
    :'two', ARRAY[:'external', :'bob_external', :'hosted']::uuid [], '{1,2,3,2,1}', '{a,b,c,d,a}', '{1,2,3,4,5}', '{0,1,1,0,2}', '{f,f,f,t,t}'
) AS short \gset
CREATE TABLE tap.queued_by_short_way AS SELECT * FROM pgmq.q_mqtt_messages;
-- A message that the broker has retained is known by either.
DELETE FROM pgmq.q_mqtt_messages;
DELETE FROM mqtt.retained_messages;
SELECT is(
    ARRAY[:'short', bridge.ingest(
        :'two', ARRAY[:'external', :'bob_external', :'hosted']::uuid [], '{1,2,3,2,1}', '{a,b,c,d,a}', '{1,2,3,4,5}', '{0,1,1,0,2}', '{f,f,f,t,t}',
        array_fill(NULL::text, '{5}')
    )],
    array_fill(jsonb_build_object('queued', 4, 'dead', 0, 'passed_over', 1, 'not_held', ARRAY[:'hosted']), '{2}'), 'the short way and the long one answer alike'
);
SELECT results_eq(
    $$SELECT message, body, organization_id, integration_id FROM tap.queued_by_short_way ORDER BY msg_id$$,
    $$SELECT message, body, organization_id, integration_id FROM pgmq.q_mqtt_messages ORDER BY msg_id$$,
    'and queue the same, in the same order'
);
SELECT is(
    (SELECT sum(l.accepted) - sum(l.dead) FROM mqtt.ledger AS l WHERE l.organization_id IN (:'org_alice', :'org_bob'))::bigint - 7,
    (SELECT count(*) FROM pgmq.q_mqtt_messages), 'the ledger adds up'
);

-- States
SELECT is(bridge.integration_states(:'two', ARRAY[:'external']::uuid [], '{error}', '{"connection refused"}'), 1, 'a broker is down');
SELECT is(bridge.integration_states(:'two', ARRAY[:'external']::uuid [], '{error}', '{"connection refused"}'), 0, 'said once');
SELECT is((SELECT (i.status, i.status_detail)::text FROM mqtt.device_integrations AS i WHERE i.id = :'external'), '(error,"connection refused")', 'and shown');
SELECT is(bridge.integration_states(:'two', ARRAY[:'hosted']::uuid [], '{error}', '{x}'), 0, 'not of an integration that another holds');
UPDATE mqtt.device_integrations SET status = 'inactive' WHERE id = :'external';
SELECT is(bridge.integration_states(:'two', ARRAY[:'external']::uuid [], '{active}', '{NULL}'), 0, 'what is switched off stays off');
SELECT is((SELECT count(*)::integer FROM bridge.integrations(:'two')), 1, 'and is to be closed');
UPDATE mqtt.device_integrations SET status = 'active' WHERE id = :'external';

-- Subscriptions
INSERT INTO mqtt.mqtt_subscriptions (organization_id, integration_id, topic, qos) VALUES (:'org_alice', :'external', 'x/#', 2), (:'org_alice', :'external', 'y', 1);
UPDATE mqtt.mqtt_subscriptions SET is_paused = true WHERE topic = 'y' AND integration_id = :'external';
SELECT is((SELECT array_agg(s.topic) FROM bridge.subscriptions(:'two') AS s), '{x/#}', 'filters to hold, without those paused');
SELECT is_empty(format('SELECT * FROM bridge.subscriptions(%L, (SELECT stamp FROM bridge.subscriptions(%1$L) LIMIT 1))', :'two'), 'none when nothing changed');
SELECT is(
    bridge.subscription_results(:'two', ARRAY(SELECT s.id FROM bridge.subscriptions(:'two') AS s), '{1}', '{"Granted QoS 1"}'), 1, 'what the broker granted'
);
SELECT is(
    (SELECT (s.status, s.granted_qos, s.status_detail)::text FROM mqtt.mqtt_subscriptions AS s WHERE s.topic = 'x/#' AND s.integration_id = :'external'),
    '(active,1,"The broker grants QoS 1 where QoS 2 was asked for.")', 'is shown'
);

-- Accounts of Mosquitto
UPDATE mqtt.mqtt_credentials SET subscribe_filters = '{org_alice/devices/+/command,org_bob/#}', expires_at = now() + interval '1 h' WHERE id = :'pump_login';
CREATE FUNCTION tap.access_lines() RETURNS SETOF text LANGUAGE sql AS $$
    SELECT regexp_replace(l.line, '[0-9a-f]{32}:[0-9a-f]{64}', '<hash>', 'g')
    FROM bridge.mosquitto_accounts() AS a CROSS JOIN regexp_split_to_table(rtrim(a.access, E'\n'), E'\n') AS l (line)
$$;
SELECT results_eq(
    'SELECT tap.access_lines()',
    ARRAY[
        E'topicbase-access\t1\t20000\t67108864\t', E'bob_login\tbob_login_1\t100\t<hash>\tporg_bob/+/#\tsorg_bob/#\t',
        E'pump_login\tpump_login_1\t100\t<hash>\tporg_alice/+/#\tsorg_alice/devices/+/command\t'
    ],
    'each valid credential with its client id, its rights spelt out, none beyond its prefix'
);
SELECT is((SELECT (a.logins, a.next_change_at > now())::text FROM bridge.mosquitto_accounts() AS a), '(2,t)', 'how many they are, and when the first of them ends');
SELECT is((SELECT a.access FROM bridge.mosquitto_accounts((SELECT stamp FROM bridge.mosquitto_accounts())) AS a), NULL, 'nothing to write when nothing changed');
UPDATE mqtt.mqtt_credentials
SET previous_salt = secret_salt, previous_hash = sha256('other'), previous_until = now() + interval '1 minute' WHERE id = :'pump_login';
SELECT alike((SELECT string_agg(l, ' ') FROM tap.access_lines() AS l), '%pump_login_1%<hash>,<hash>%', 'both passwords after a rotation');
SELECT is((SELECT a.next_change_at <= now() + interval '1 minute' FROM bridge.mosquitto_accounts() AS a), true, 'until the old one ends');
UPDATE mqtt.mqtt_credentials SET previous_until = now() WHERE id = :'pump_login';
SELECT unalike((SELECT string_agg(l, ' ') FROM tap.access_lines() AS l), '%<hash>,<hash>%', 'and then one');
INSERT INTO mqtt.mqtt_subscriptions (organization_id, integration_id, topic) VALUES (:'org_alice', :'hosted', 'org_alice/#');
SELECT unalike((SELECT a.access FROM bridge.mosquitto_accounts() AS a), '%pump_login%', 'no account before the bridge is subscribed: what it published would be lost');
UPDATE mqtt.mqtt_subscriptions SET granted_qos = 1, status = 'active' WHERE integration_id = :'hosted';
SELECT alike((SELECT a.access FROM bridge.mosquitto_accounts() AS a), '%pump_login%', 'but once the broker has granted it');
UPDATE mqtt.mqtt_credentials SET revoked_at = now() WHERE id = :'pump_login';
SELECT unalike((SELECT a.access FROM bridge.mosquitto_accounts() AS a), '%pump_login%', 'a revoked one is gone');

-- Requests
INSERT INTO mqtt.mqtt_requests (organization_id, id, integration_id, request_type) VALUES (:'org_alice', :'unknown', :'external', 'test_connection');
SELECT is((SELECT (r.id, r.integration_type, r.topic_prefix)::text FROM bridge.claim_requests(:'two') AS r), format('(%s,mqtt_external,org_alice)', :'unknown'), 'a request');
SELECT is_empty(format('SELECT * FROM bridge.claim_requests(%L)', :'two'), 'is taken once');
INSERT INTO mqtt.mqtt_requests (organization_id, integration_id, request_type, created_at)
SELECT :'org_alice', :'external', 'test_connection', now() - interval '1 minute' FROM generate_series(1, 9);
INSERT INTO mqtt.mqtt_requests (organization_id, integration_id, request_type) VALUES (:'org_bob', :'bob_external', 'test_connection');
SELECT results_eq(
    format('SELECT r.organization_id, count(*) FROM bridge.claim_requests(%L, 7) AS r GROUP BY 1 ORDER BY 2', :'two'), format('VALUES (%L::uuid, 1::bigint), (%L, 2)', :'org_bob', :'org_alice'),
    'tests are shared by organization: one has no more under way than stay free, and keeps no other waiting'
);
SELECT lives_ok(format($$SELECT bridge.answer_request(%L, '{"stage": "tcp"}', false)$$, :'unknown'), 'how far it is is told');
SELECT is((SELECT (r.status, r.result ->> 'stage', r.finished_at IS NULL)::text FROM mqtt.mqtt_requests AS r WHERE r.id = :'unknown'), '(running,tcp,t)', 'while it runs');
SELECT lives_ok(format($$SELECT bridge.answer_request(%L, '{"ok": false, "reason": "down"}')$$, :'unknown'), 'and answered');
SELECT is((SELECT (r.status, r.result ->> 'reason')::text FROM mqtt.mqtt_requests AS r WHERE r.id = :'unknown'), '(done,down)', 'with the verdict');

-- Nothing else
SELECT act_as('mqtt_bridge');
SELECT throws_ok('SELECT count(*) FROM mqtt.device_integrations', '42501', NULL, 'the bridge reads no table');
SELECT throws_ok('SELECT count(*) FROM pgmq.q_mqtt_messages', '42501', NULL, 'no queue');
SELECT throws_ok('SELECT mqtt.process_batch(1)', '42501', NULL, 'calls no function outside its schema');
SELECT throws_ok($$SELECT pgmq.read('mqtt_messages', 1, 1)$$, '42501', NULL, 'not pgmq''s either');
SELECT throws_ok('SELECT api.create_organization(''x'', ''x'', gen_random_uuid())', '42501', NULL, 'nor the app''s');
SELECT act_as('authenticated', :'alice');
SELECT throws_ok('SELECT bridge.process_queue(1)', '42501', NULL, 'and nobody else calls its functions');
SELECT * FROM finish();
ROLLBACK;

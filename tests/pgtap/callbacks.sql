-- Callbacks: which messages are queued for whom, what a bridge may claim, what becomes of outcomes, who sees and replays what.
\ir setup.psql
SELECT to_regprocedure('mqtt.py_seal(bytea, text)') IS NULL AS lacks_plpython \gset
\if :lacks_plpython
SELECT plan(1);
SELECT skip('not run: it needs PL/Python', 1);
\else
SELECT plan(92);
SELECT function_privs_are('api', 'rotate_mqtt_callback_secret', ARRAY['uuid', 'integer', 'jsonb', 'interval'], 'anon', ARRAY[]::text[]);
SELECT function_privs_are('api', 'replay_mqtt_callback_deliveries', ARRAY['uuid', 'uuid[]'], 'anon', ARRAY[]::text[]);
SELECT table_privs_are('mqtt', 'callback_secrets', r, ARRAY[]::text[], r || ' reads no secrets')
FROM unnest('{anon,authenticated,service_role,mqtt_bridge}'::name []) AS r;

\set bridge 'bbbbbbbb-0000-4000-8000-000000000001'
\set other_bridge 'bbbbbbbb-0000-4000-8000-000000000002'
\set sealed '{"sealed": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}'
DELETE FROM mqtt.bridges;
INSERT INTO mqtt.bridges (id, name, version, main_pid) VALUES (:'bridge', 'a', '1', 1), (:'other_bridge', 'b', '1', 2);
INSERT INTO mqtt.bridge_leases (organization_id, integration_id, bridge_id)
VALUES (:'org_alice', :'hosted', :'bridge'), (:'org_bob', :'bob_hosted', :'bridge'), (:'org_alice', :'external', :'other_bridge');

-- What is queued
CREATE FUNCTION tap.arrive(integration uuid, topic text, payload jsonb DEFAULT '1') RETURNS void
LANGUAGE sql AS $$
    INSERT INTO pgmq.q_mqtt_messages (vt, message, organization_id, integration_id)
    SELECT clock_timestamp(), jsonb_build_object('topic', arrive.topic, 'payload', arrive.payload, 'qos', 1), i.organization_id, i.id
    FROM mqtt.device_integrations AS i
    WHERE i.id = arrive.integration;
$$;
CREATE TEMPORARY VIEW waiting AS
SELECT s.topic, m.topic AS message_topic, d.*
FROM mqtt.mqtt_callback_deliveries AS d
INNER JOIN mqtt.mqtt_subscriptions AS s ON s.id = d.subscription_id
LEFT JOIN mqtt.mqtt_messages AS m ON m.id = d.message_id AND m.received_at = d.received_at;
SELECT arrive(:'hosted', 'org_alice/a/x');
SELECT is(mqtt.process_batch() ->> 'processed', '1', 'nobody has a callback');
SELECT is_empty('SELECT FROM mqtt.mqtt_callback_deliveries', 'so nothing is queued');

UPDATE mqtt.configuration SET sealing_public_key = decode(repeat('09', 32), 'hex');
SELECT act_as('authenticated', :'alice');
SELECT api.mqtt_subscribe(:'hosted', 'org_alice/a/#', 1, 'https://a.example.com/', callback_secret => :'sealed') ->> 'id' AS all_of_a \gset
SELECT api.mqtt_subscribe(:'hosted', 'org_alice/+/x', 1, 'https://a.example.com/', callback_secret => :'sealed') ->> 'id' AS all_x \gset
SELECT api.mqtt_subscribe(:'hosted', 'org_alice/ordered/#', 1, 'https://o.example.com/', callback_ordered => true, callback_secret => :'sealed') ->> 'id' AS ordered \gset
SELECT api.mqtt_subscribe(:'hosted', 'org_alice/#') ->> 'id' AS silent \gset
SELECT api.mqtt_subscribe(:'external', '#', 1, 'https://e.example.com/', callback_secret => :'sealed') ->> 'id' AS elsewhere \gset
SELECT act_as('authenticated', :'bob');
SELECT api.mqtt_subscribe(:'bob_hosted', 'org_bob/#', 1, 'https://b.example.com/', callback_secret => :'sealed') ->> 'id' AS bobs \gset
SELECT act_as('none');
SELECT arrive(:'hosted', t) FROM unnest('{org_alice/a/x,org_alice/a/y,org_alice/b/x,org_alice/b/y}'::text []) AS t;
SELECT arrive(:'bob_hosted', 'org_bob/z');
SELECT is(mqtt.process_batch() ->> 'processed', '5', 'a batch of two organizations');
SELECT results_eq(
    'SELECT topic, message_topic FROM waiting ORDER BY 1, 2',
    $$VALUES ('org_alice/+/x', 'org_alice/a/x'), ('org_alice/+/x', 'org_alice/b/x'), ('org_alice/a/#', 'org_alice/a/x'), ('org_alice/a/#', 'org_alice/a/y'),
        ('org_bob/#', 'org_bob/z')$$,
    'each message is queued for each subscription that it matches, of its integration only'
);
SELECT is(mqtt.begin_attempt(clock_timestamp()), NULL, 'nothing is left');
SELECT arrive(:'hosted', 'org_alice/a/single');
SELECT mqtt.begin_attempt(clock_timestamp()) AS attempt \gset
SELECT is(mqtt.finish_attempt(:attempt), 'processed', 'a single attempt');
SELECT is(count(*)::integer, 1, 'queues too') FROM waiting WHERE message_topic = 'org_alice/a/single';
SELECT arrive(:'hosted', 'org_alice/a/bad', '{"x": 1}');
UPDATE pgmq.q_mqtt_messages SET message = message || '{"timestamp": "no time"}';
SELECT is(mqtt.process_batch() ->> 'failed', '1', 'a message that cannot be stored');
SELECT is_empty($$SELECT FROM waiting WHERE message_topic IS NULL$$, 'is not queued either');
DELETE FROM pgmq.q_mqtt_messages;

-- Who sees it
SELECT act_as('authenticated', :'anna');
SELECT is(count(*)::integer, 5, 'a member sees the organization''s') FROM api.mqtt_callback_deliveries;
SELECT act_as('authenticated', :'bob');
SELECT is(count(*)::integer, 1, 'and another''s member theirs') FROM api.mqtt_callback_deliveries;
SELECT act_as('authenticated', :'nobody');
SELECT is(count(*)::integer, 0, 'and nobody none') FROM api.mqtt_callback_deliveries;
SELECT act_as('none');

-- Claims
CREATE TEMPORARY TABLE claimed (organization_id uuid, id uuid, attempt smallint);
CREATE FUNCTION tap.claim(bridge uuid, room integer DEFAULT 100, busy uuid [] DEFAULT '{}', counts integer [] DEFAULT '{}') RETURNS integer
LANGUAGE plpgsql AS $$
BEGIN
    DROP TABLE IF EXISTS claimed;
    CREATE TEMPORARY TABLE claimed AS SELECT * FROM bridge.claim_callbacks(bridge, room, busy, counts);
    RETURN (SELECT count(*) FROM claimed);
END;
$$;
CREATE FUNCTION tap.settle(bridge uuid, code integer, error text DEFAULT NULL, retry_after integer DEFAULT NULL, is_final boolean DEFAULT false, seconds real DEFAULT NULL) RETURNS jsonb
LANGUAGE sql AS $$
    SELECT bridge.settle_callbacks(
        bridge, array_agg(c.organization_id), array_agg(c.id), array_agg(c.attempt), array_agg(settle.code::smallint), array_agg(settle.error),
        array_agg(repeat('r', 300)), array_agg(settle.retry_after), array_agg(settle.is_final), array_agg(settle.seconds)
    ) FROM claimed AS c;
$$;
SELECT is(claim(:'other_bridge'), 0, 'a bridge claims nothing of integrations that it does not hold');
SELECT is(claim(:'bridge', 2), 2, 'as much as there is room for');
SELECT is(count(DISTINCT c.organization_id)::integer, 2, 'fairly') FROM claimed AS c;
SELECT is(c.secrets, jsonb_build_array(:'sealed'::jsonb), 'with the sealed secret') FROM claimed AS c LIMIT 1;
SELECT is(settle(:'other_bridge', 200), '{"dead": 0, "failed": 0, "released": 0, "delivered": 0}', 'another bridge settles nothing of it');
SELECT is(settle(:'bridge', NULL), '{"dead": 0, "failed": 0, "released": 2, "delivered": 0}', 'what was not sent goes back');
SELECT is(max(d.attempts)::integer, 0, 'and costs no attempt') FROM mqtt.mqtt_callback_deliveries AS d;
SELECT is(claim(:'bridge'), 6, 'all');
SELECT is(count(*)::integer, 0, 'once') FROM bridge.claim_callbacks(:'bridge', 100);
SELECT matches(
    c.body, '^\{"type" : "mqtt.message", "id" : "[0-9a-f-]{36}", "subscription_id" : "[0-9a-f-]{36}", "subscription_topic" : "org_bob/#", "organization_id" : "'
    || :'org_bob' || '", "integration_id" : "' || :'bob_hosted' || '", "device_id" : null, "topic" : "org_bob/z", "payload" : 1, "payload_encoding" : "json"', 'a body'
) FROM claimed AS c WHERE c.organization_id = :'org_bob';
UPDATE claimed SET attempt = attempt + 1;
SELECT is(settle(:'bridge', 200), '{"dead": 0, "failed": 0, "released": 0, "delivered": 0}', 'an attempt that was given up for lost settles nothing');
UPDATE claimed SET attempt = attempt - 1;
SELECT is(settle(:'bridge', 200), '{"dead": 0, "failed": 0, "released": 0, "delivered": 6}', 'delivered');
SELECT is_empty($$SELECT FROM mqtt.mqtt_callback_deliveries WHERE status <> 'delivered' OR finished_at IS NULL OR error IS NOT NULL OR response IS NOT NULL$$, 'and done');

-- Failures
SELECT arrive(:'hosted', 'org_alice/a/y');
SELECT mqtt.process_batch();
SELECT is(claim(:'bridge'), 1, 'one');
SELECT is(settle(:'bridge', 500, 'the receiver answered 500') ->> 'failed', '1', 'fails');
SELECT ok(
    d.status = 'waiting' AND d.due_at BETWEEN now() + interval '3.5 seconds' AND clock_timestamp() + interval '6.5 seconds' AND length(d.response) = 200 AND d.status_code = 500,
    'it waits for 5 seconds, more or less, with the reason'
) FROM waiting AS d WHERE d.status = 'waiting';
UPDATE mqtt.mqtt_callback_deliveries SET attempts = 7, due_at = now() WHERE status = 'waiting';
SELECT claim(:'bridge');
SELECT settle(:'bridge', 404, 'x');
SELECT ok(d.due_at - clock_timestamp() BETWEEN interval '470 seconds' AND interval '810 seconds', 'the wait doubles with each attempt') FROM waiting AS d WHERE d.status = 'waiting';
UPDATE mqtt.mqtt_callback_deliveries SET due_at = now() WHERE status = 'waiting';
SELECT claim(:'bridge');
SELECT settle(:'bridge', 429, 'x', 5000);
SELECT ok(d.due_at - clock_timestamp() BETWEEN interval '4990 seconds' AND interval '5000 seconds', 'Retry-After is longer') FROM waiting AS d WHERE d.status = 'waiting';
SELECT ok(c.open_until - clock_timestamp() BETWEEN interval '4990 seconds' AND interval '5000 seconds', 'and meant for the whole URL') FROM mqtt.callback_circuits AS c;
DELETE FROM mqtt.callback_circuits;
UPDATE mqtt.mqtt_callback_deliveries SET attempts = 23, due_at = now() WHERE status = 'waiting';
SELECT claim(:'bridge');
SELECT is(settle(:'bridge', NULL, 'no answer within 10 s') ->> 'dead', '1', 'the 24th attempt is the last');
SELECT ok(d.finished_at IS NOT NULL AND d.error = 'no answer within 10 s', 'with its reason') FROM waiting AS d WHERE d.status = 'dead';
SELECT is(l.message_count, 1, 'and an entry in the activity log') FROM mqtt.integration_activity_log AS l WHERE l.activity_type = 'callback_dead';

-- Circuit
SELECT arrive(:'hosted', 'org_alice/a/y') FROM generate_series(1, 12);
SELECT mqtt.process_batch();
SELECT is(claim(:'bridge'), 8, 'so many at once for one subscription');
SELECT is(count(*)::integer, 0, 'and no more while these are under way') FROM bridge.claim_callbacks(:'bridge', 100, ARRAY[:'all_of_a']::uuid [], '{8}');
SELECT settle(:'bridge', NULL, 'the connection failed: connection refused');
SELECT ok(c.openings = 1 AND c.open_until > clock_timestamp() + interval '8 seconds', 'the circuit opens') FROM mqtt.callback_circuits AS c;
SELECT is(claim(:'bridge'), 0, 'nothing more is sent');
UPDATE mqtt.callback_circuits SET open_until = now();
SELECT is(claim(:'bridge'), 1, 'then one request, to see');
SELECT settle(:'bridge', 502, 'x');
SELECT ok(c.openings = 2 AND c.open_until > clock_timestamp() + interval '18 seconds', 'it opens for twice as long') FROM mqtt.callback_circuits AS c;
UPDATE mqtt.callback_circuits SET open_until = now();
SELECT claim(:'bridge');
SELECT settle(:'bridge', 200);
SELECT is_empty('SELECT FROM mqtt.callback_circuits', 'a success closes it');
UPDATE mqtt.mqtt_callback_deliveries SET due_at = now() WHERE status = 'waiting';
SELECT is(claim(:'bridge', 16), 8, 'the others');
SELECT settle(:'bridge', 200, seconds => 5.5);
SELECT is((c.slow, c.openings, c.open_until)::text, '(8,0,)', 'delivered, but a receiver that is slow again and again is remembered') FROM mqtt.callback_circuits AS c;
SELECT is(count(*)::integer, 1, 'and logged, once') FROM mqtt.integration_activity_log AS l WHERE l.activity_type = 'callback_slow';
SELECT is(claim(:'bridge'), 1, 'it gets one request at a time');
SELECT is(count(*)::integer, 0, 'and no second') FROM bridge.claim_callbacks(:'bridge', 100, ARRAY[:'all_of_a']::uuid [], '{1}');
SELECT settle(:'bridge', 200, seconds => 0.1);
SELECT is_empty('SELECT FROM mqtt.callback_circuits', 'until it is quick');
UPDATE mqtt.mqtt_callback_deliveries SET due_at = now() WHERE status = 'waiting';
SELECT claim(:'bridge');
SELECT settle(:'bridge', 200);
SELECT claim(:'bridge');
SELECT settle(:'bridge', 200);

-- Quick receivers
SELECT arrive(:'hosted', 'org_alice/a/y') FROM generate_series(1, 50);
SELECT mqtt.process_batch();
SELECT is(
    (SELECT count(*)::integer FROM bridge.claim_callbacks(:'bridge', room, ARRAY[:'all_of_a']::uuid [], ARRAY[busy], ARRAY[:'all_of_a']::uuid [])), claimed, reason
) FROM (
    VALUES (3, 0, 1, 'where not all slots of a subscription are free, as many are claimed as have one'),
    (64, 1, 31, 'else more than may be under way, where the receiver is quick'), (64, 32, 0, 'but no more than 32'),
    (7, 20, 0, 'nor where fewer slots are free than the organization has'), (8, 20, 12, 'those that follow others need no slot of their own'),
    (8, 8, 6, 'and the rest')
) AS t (room, busy, claimed, reason);
DELETE FROM mqtt.mqtt_callback_deliveries WHERE status = 'waiting';

-- Order
SELECT arrive(:'hosted', 'org_alice/ordered/1', to_jsonb(g)) FROM generate_series(1, 3) AS g;
SELECT mqtt.process_batch();
UPDATE mqtt.mqtt_callback_deliveries SET due_at = now() + interval '1 hour' WHERE number = (SELECT min(number) FROM waiting WHERE status = 'waiting');
SELECT is(claim(:'bridge'), 0, 'in order, all wait for the first');
UPDATE mqtt.mqtt_callback_deliveries SET due_at = now() WHERE status = 'waiting';
SELECT is(claim(:'bridge'), 3, 'and come after it');
SELECT results_eq('SELECT (body::jsonb ->> ''payload'')::integer FROM claimed', '{1,2,3}'::integer [], 'one after the other');
SELECT is(count(*)::integer, 0, 'never two batches') FROM bridge.claim_callbacks(:'bridge', 100, ARRAY[:'ordered']::uuid [], '{3}');
SELECT settle(:'bridge', 200);

-- However few there were when the plans were made
CREATE FUNCTION tap.whole_scans() RETURNS bigint
LANGUAGE sql AS $$
    SELECT sum(s.seq_scan)
    FROM pg_catalog.pg_stat_xact_all_tables AS s
    WHERE s.schemaname = 'mqtt' AND (s.relname = 'mqtt_callback_deliveries' OR s.relname ~ '^history|^packs' OR s.relname = 'mqtt_subscriptions');
$$;
SELECT arrive(:'hosted', 'org_alice/a/y') FROM generate_series(1, 8);
SELECT mqtt.process_batch();
SELECT whole_scans() AS scans \gset
SET LOCAL track_functions = 'all';
SELECT claim(:'bridge'), settle(:'bridge', 200);
SELECT is(
    (SELECT sum(f.calls) FROM pg_catalog.pg_stat_xact_user_functions AS f WHERE f.schemaname = 'mqtt' AND f.funcname ~ '^(callback_bod|due_callbacks|settle_deliveries|note_receivers)'),
    3::numeric, 'one statement makes the bodies of all, and one each settles them'
);
RESET track_functions;
SELECT is(whole_scans(), :scans::bigint, 'deliveries and messages are found by their indexes');

-- 410, replay, secrets, end
SELECT arrive(:'hosted', 'org_alice/b/x');
SELECT mqtt.process_batch(), claim(:'bridge');
SELECT is(settle(:'bridge', 410, 'the receiver answered 410') ->> 'dead', '1', '410 ends it');
SELECT arrive(:'hosted', 'org_alice/b/x');
SELECT mqtt.process_batch();
SELECT is_empty($$SELECT FROM waiting WHERE status = 'waiting'$$, 'and what comes after it is not queued');
SELECT act_as('authenticated', :'anna');
SELECT refuses(format('SELECT api.replay_mqtt_callback_deliveries(%L)', :'all_x'), 'PT403', 'admin_required', 'a member');
SELECT refuses(format('SELECT api.rotate_mqtt_callback_secret(%L)', :'all_x'), 'PT403', 'admin_required', 'a member');
SELECT act_as('authenticated', :'bob');
SELECT refuses(format('SELECT api.replay_mqtt_callback_deliveries(%L)', :'all_x'), 'PT404', 'subscription_not_found', 'a stranger');
SELECT refuses(format('SELECT api.rotate_mqtt_callback_secret(%L)', :'all_x'), 'PT404', 'subscription_not_found', 'a stranger');
SELECT act_as('authenticated', :'alice');
SELECT refuses(format('SELECT api.replay_mqtt_callback_deliveries(%L)', :'silent'), 'PT400', 'callback_missing', 'no callback');
SELECT refuses(format('SELECT api.rotate_mqtt_callback_secret(%L, -1)', :'all_x'), 'PT400', 'grace_invalid', 'no grace');
SELECT refuses(format('SELECT api.rotate_mqtt_callback_secret(%L, grace => %L)', :'all_x', '31 days'), 'PT400', 'grace_invalid', 'too much grace');
SELECT refuses(format('SELECT api.rotate_mqtt_callback_secret(%L, 60, grace => %L)', :'all_x', '1 day'), 'PT400', 'argument_conflict', 'two graces');
SELECT api.rotate_mqtt_callback_secret(:'all_x', a.seconds, grace => a.grace) FROM (VALUES (7200, NULL::interval), (7200, '2 hours')) AS a (seconds, grace) \g /dev/null
SELECT act_as('none');
SELECT is(round(extract(EPOCH FROM k.previous_until - k.created_at) / 3600), 2::numeric, 'grace by both names') FROM mqtt.callback_secrets AS k WHERE k.subscription_id = :'all_x';
SELECT act_as('authenticated', :'alice');
SELECT api.rotate_mqtt_callback_secret(:'all_x') \g /dev/null
SELECT act_as('none');
SELECT is(round(extract(EPOCH FROM k.previous_until - k.created_at) / 3600), 24::numeric, 'a day of grace') FROM mqtt.callback_secrets AS k WHERE k.subscription_id = :'all_x';
SELECT act_as('authenticated', :'alice');
SELECT refuses(format('SELECT api.rotate_mqtt_callback_secret(%L, callback_secret => %L)', :'all_x', s), 'PT400', 'callback_secret_invalid', left(s, 50))
FROM unnest(ARRAY['"whsec_clear"', '{"sealed": "AAAA"}', '{"sealed": null}', '{"sealed": 1, "x": 2}', '[]']) AS s;
SELECT act_as('none');
UPDATE mqtt.configuration SET sealing_public_key = NULL;
SELECT act_as('authenticated', :'alice');
SELECT refuses(
    format($$SELECT api.mqtt_subscribe(%L, 'org_alice/new', 0, 'https://a.example.com/')$$, :'hosted'), 'PT400', 'sealing_unavailable', 'without a key no secret is made', 'callback_secret cannot be stored%'
);
SELECT refuses(
    format('SELECT api.replay_mqtt_callback_deliveries(%L)', :'all_x'), 'PT409', 'callback_paused', 'a receiver that is gone', '%its receiver is gone (410 at %'
);
SELECT api.mqtt_subscribe(:'hosted', 'org_alice/+/x', 1, 'https://a.example.com/', is_paused => true) \g /dev/null
SELECT refuses(format('SELECT api.replay_mqtt_callback_deliveries(%L)', :'all_x'), 'PT409', 'callback_paused', 'a pause', '%it is paused%');
SELECT api.mqtt_subscribe(:'hosted', 'org_alice/+/x', 1, 'https://a.example.com/') \g /dev/null
SELECT is(api.replay_mqtt_callback_deliveries(:'all_x') ->> 'replayed', '1', 'an admin replays what is posted');
SELECT is(api.mqtt_subscribe(:'hosted', 'org_alice/+/x', 1) ->> 'callback_url', NULL, 'the callback is taken away');
SELECT act_as('none');
SELECT is(d.status, 'dead', 'and with it what waits') FROM waiting AS d WHERE d.subscription_id = :'all_x' ORDER BY d.number DESC LIMIT 1;
SELECT is_empty(format('SELECT FROM mqtt.callback_secrets WHERE subscription_id = %L', :'all_x'), 'and the secret');
UPDATE mqtt.mqtt_callback_deliveries SET created_at = now() - interval '8 days';
SELECT cmp_ok((mqtt.apply_retention() ->> 'callbacks')::integer, '>', 10, 'the log ends with its term');

-- Many callbacks: PostgreSQL keeps 32 compiled expressions, and trying each message against each filter would take seconds.
INSERT INTO mqtt.mqtt_subscriptions (organization_id, integration_id, topic, callback_url)
SELECT :'org_bob', :'bob_hosted', CASE n % 3 WHEN 0 THEN 'org_bob/m/' || n WHEN 1 THEN 'org_bob/m/' || n || '/#' ELSE '$share/g/org_bob/m/' || n || '/+' END,
    'https://m.example.com/'
FROM generate_series(1, 1000) AS n;
SELECT arrive(:'bob_hosted', 'org_bob/m/' || n || CASE WHEN n % 2 = 0 THEN '/x' ELSE '' END) FROM generate_series(1, 600) AS n;
SET LOCAL statement_timeout = '2s';
SELECT is(
    (SELECT sum((b.done ->> 'processed')::integer) FROM (SELECT mqtt.process_batch() AS done FROM generate_series(1, 8)) AS b), 600::bigint,
    'batches of 600 topics with 1,000 callbacks take no second'
);
RESET statement_timeout;
SELECT results_eq(
    $$SELECT (split_part(w.topic, 'org_bob/m/', 2) ~ '^[0-9]+$')::integer, count(*), bool_and(w.message_topic ~ ('/m/' || substring(w.topic FROM '/m/([0-9]+)') || '(/x)?$'))
    FROM waiting AS w WHERE w.topic LIKE '%org_bob/m/%' GROUP BY 1 ORDER BY 1$$,
    'VALUES (0, 300::bigint, true), (1, 100::bigint, true)', 'and each is queued for those that it matches'
);
\endif
SELECT * FROM finish();
ROLLBACK;

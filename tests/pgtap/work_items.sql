-- Messages that the history has at once, and the work item that stands for them: taken in ranges, one alone, failing ones; and when there is none.
\ir setup.psql
SELECT plan(74);
SELECT act_as('none');
SELECT jsonb_build_object('x-username', 'pump_login', 'x-password', :'pump_password', 'x-client-id', 'pump_login_1') AS login \gset
CREATE FUNCTION tap.send(messages jsonb) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    v_accepted integer;
BEGIN
    v_accepted := (api.mqtt_ingest_batch(messages::json) ->> 'accepted')::integer;
    RETURN v_accepted;
END;
$$;
CREATE FUNCTION tap.numbers(since integer, until integer, topic text DEFAULT 'org_alice/devices/pump/telemetry') RETURNS jsonb
LANGUAGE sql AS $$
    SELECT jsonb_agg(jsonb_build_object('topic', topic, 'payload', jsonb_build_object('n', n)) ORDER BY n) FROM generate_series(since, until) AS n;
$$;
CREATE VIEW tap.items AS SELECT q.message_count, q.attempts FROM pgmq.q_mqtt_messages AS q WHERE q.organization IS NOT NULL ORDER BY q.msg_id;
CREATE VIEW tap.statuses AS
SELECT q.status, array_agg((q.payload ->> 'n')::integer ORDER BY (q.payload ->> 'n')::integer) AS numbers
FROM mqtt.mqtt_message_queue AS q
WHERE q.topic LIKE 'org_alice/devices/%'
GROUP BY q.status;

-- The first message to a topic tells the worker what the topic means; from then on the history has messages at once.
SELECT act_as('anon', NULL, :'login');
SELECT is(tap.send(tap.numbers(1, 2)), 2, 'messages to a new topic are accepted');
SELECT act_as('none');
SELECT results_eq('SELECT count(*), count(q.organization) FROM pgmq.q_mqtt_messages AS q', 'VALUES (2::bigint, 0::bigint)', 'and wait in the queue');
SELECT is(mqtt.process_batch() ->> 'processed', '2', 'the worker stores them');
SELECT results_eq(
    $$SELECT t.is_current, t.external_id FROM mqtt.topics AS t WHERE t.topic = 'org_alice/devices/pump/telemetry'$$, $$VALUES (true, 'pump')$$,
    'and notes what the topic means'
);
SELECT act_as('anon', NULL, :'login');
SELECT is(tap.send(tap.numbers(3, 9)), 7, 'further messages are accepted');
SELECT act_as('none');
SELECT results_eq('TABLE tap.items', 'VALUES (7, 0::smallint)', 'with one work item');
SELECT is((SELECT count(*) FROM pgmq.q_mqtt_messages), 1::bigint, 'and nothing else in the queue');
SELECT results_eq(
    $$SELECT (m.payload ->> 'n')::integer, m.message_type, m.qos, m.measured_at = m.received_at FROM mqtt.mqtt_messages AS m
        WHERE m.topic = 'org_alice/devices/pump/telemetry' ORDER BY m.received_at, m.position OFFSET 2$$,
    $$SELECT n, 'telemetry', 0::smallint, true FROM generate_series(3, 9) AS n$$, 'the history has them, in order'
);
SELECT is(
    (SELECT array_agg(m.payload ->> 'n' ORDER BY m.received_at, m.id) FROM mqtt.mqtt_messages AS m WHERE m.payload ->> 'n' > '2'),
    '{3,4,5,6,7,8,9}', 'by id too'
);
SELECT results_eq('SELECT * FROM tap.statuses ORDER BY 1', $$VALUES ('completed', '{1,2}'::integer []), ('pending', '{3,4,5,6,7,8,9}')$$, 'they are pending');
SELECT is(mqtt.queue_depth(:'org_alice') ->> 'pending', '7', 'and counted as such');
SELECT is((SELECT last_data FROM mqtt.devices WHERE external_id = 'pump' AND organization_id = :'org_alice'), '{"n": 2}', 'their effects are to come');
SELECT is_empty('SELECT * FROM mqtt.check_ledger()', 'the ledger is balanced');

-- In ranges, and one alone.
SELECT is(mqtt.process_batch(2), '{"dead": 0, "more": true, "failed": 0, "processed": 2}', 'a small batch takes a part of it');
SELECT results_eq('TABLE tap.items', 'VALUES (5, 0::smallint)', 'the rest waits on');
SELECT is_empty('SELECT * FROM mqtt.check_ledger()', 'and the ledger is balanced');
SELECT is((SELECT last_data FROM mqtt.devices WHERE external_id = 'pump' AND organization_id = :'org_alice'), '{"n": 4}', 'the effects are made of the first');
SELECT is(
    api.process_mqtt_queue_message((SELECT m.id FROM mqtt.mqtt_messages AS m WHERE m.payload = '{"n": 7}')) ->> 'status', 'completed', 'one is processed by its id'
);
SELECT results_eq('TABLE tap.items', 'VALUES (2, 0::smallint), (2, 0::smallint)', 'its neighbours wait on');
SELECT is(
    api.process_mqtt_queue_message((SELECT m.id FROM mqtt.mqtt_messages AS m WHERE m.payload = '{"n": 7}')) ->> 'status', 'completed', 'once'
);
SELECT results_eq('SELECT * FROM tap.statuses ORDER BY 1', $$VALUES ('completed', '{1,2,3,4,7}'::integer []), ('pending', '{5,6,8,9}')$$, 'each has its status');
SELECT is(mqtt.process_batch(), '{"dead": 0, "more": false, "failed": 0, "processed": 4}', 'the rest follows');
SELECT results_eq('SELECT * FROM tap.statuses ORDER BY 1', $$VALUES ('completed', '{1,2,3,4,5,6,7,8,9}'::integer [])$$, 'all are completed');
SELECT is((SELECT mqtt.latest_of(d) #>> '{n,value}' FROM mqtt.devices AS d WHERE external_id = 'pump' AND organization_id = :'org_alice'), '9', 'the latest value is that of the last');
SELECT is((SELECT connection_count FROM mqtt.mqtt_credentials WHERE id = :'pump_login'), 9::bigint, 'uses of the credential are counted');
SELECT is((SELECT sum(s.message_count) FROM mqtt.settlements AS s INNER JOIN mqtt.organizations AS o ON o.number = s.organization WHERE o.id = :'org_alice'), 9::bigint, 'each is settled once');
SELECT is_empty('SELECT * FROM mqtt.check_ledger()', 'and the ledger is balanced');
SELECT is((SELECT count(*) FROM mqtt.mqtt_messages AS m WHERE m.topic LIKE 'org_alice/devices/%'), 9::bigint, 'nothing was stored twice');

-- A message whose effects fail is split off.
ALTER TABLE mqtt.devices ADD CONSTRAINT no_poison CHECK (last_data ->> 'n' <> '13');
UPDATE mqtt.configuration SET max_attempts = 2;
SELECT act_as('anon', NULL, :'login');
SELECT is(tap.send(tap.numbers(10, 12) || tap.numbers(13, 13) || tap.numbers(14, 16)), 7, 'a batch with one that will fail');
SELECT act_as('none');
-- Alone it is the newest of its batch.
SELECT is(mqtt.split_items(ARRAY(SELECT q.ctid FROM pgmq.q_mqtt_messages AS q)) IS NOT NULL, true, 'taken apart');
SELECT is(
    (SELECT array_agg(mqtt.process_batch(1) ->> 'failed') FROM generate_series(1, 7)), '{0,0,0,1,0,0,0}', 'fails alone'
);
SELECT results_eq('TABLE tap.items', 'VALUES (1, 1::smallint)', 'and has an attempt of its own');
SELECT is((SELECT error_message LIKE '%no_poison%' FROM mqtt.mqtt_message_queue WHERE status = 'pending'), true, 'with its reason');
UPDATE pgmq.q_mqtt_messages SET vt = now();
SELECT set_config('topicbase.queue_memory', '', false) \g /dev/null
SELECT is(mqtt.process_batch(), '{"dead": 1, "more": false, "failed": 0, "processed": 0}', 'after the last it is a dead letter');
SELECT results_eq(
    'SELECT d.topic, d.message, d.attempts, jsonb_array_length(d.errors) FROM mqtt.mqtt_dead_letters AS d',
    $$VALUES ('org_alice/devices/pump/telemetry', '{"topic": "org_alice/devices/pump/telemetry", "payload": {"n": 13}}'::jsonb, 2::smallint, 2)$$,
    'which has the whole message'
);
SELECT results_eq(
    $$SELECT m.id, m.is_failed FROM mqtt.mqtt_messages AS m WHERE m.payload = '{"n": 13}'$$, 'SELECT d.id, true FROM mqtt.mqtt_dead_letters AS d', 'and the history has it, marked'
);
SELECT results_eq(
    $$SELECT q.attempts, q.failed_at IS NOT NULL, q.error_message LIKE '%no_poison%' FROM mqtt.mqtt_message_queue AS q WHERE q.status = 'failed'$$,
    'VALUES (2::smallint, true, true)', 'its status says so, once'
);
SELECT d.id AS poison FROM mqtt.mqtt_dead_letters AS d \gset
SELECT is(api.process_mqtt_queue_message(:'poison') ->> 'status', 'failed', 'as does its id');
SELECT act_as('authenticated', :'alice');
SELECT is((SELECT array_agg(m.failed) FROM api.list_messages(id => :'poison') AS m), '{true}', 'members see it');
SELECT is((SELECT array_agg((m.payload ->> 'n')::integer) FROM api.mqtt_messages AS m WHERE m.failed), '{13}', 'and no other that failed');
SELECT act_as('none');
SELECT is_empty('SELECT * FROM mqtt.check_ledger()', 'the ledger is balanced');

-- A replay makes its effects, and does not store it again.
INSERT INTO mqtt.mqtt_subscriptions (organization_id, integration_id, topic, callback_url) VALUES (:'org_alice', :'hosted', 'org_alice/devices/pump/#', 'https://hooks.example.com/x');
SELECT act_as('authenticated', :'alice');
SELECT is(api.replay_mqtt_dead_letters(:'org_alice') ->> 'replayed', '1', 'while what it fails at is there');
SELECT act_as('none');
SELECT results_eq('TABLE tap.items', 'VALUES (1, 0::smallint)', 'it has a work item again');
SELECT results_eq('SELECT * FROM tap.statuses WHERE numbers && ARRAY[13]', $$VALUES ('pending', '{13}'::integer [])$$, 'is pending');
SELECT is_empty('SELECT * FROM mqtt.check_ledger()', 'and counted as such');
SELECT is(mqtt.queue_depth(:'org_alice') ->> 'failed', '0', 'no longer as dead');
UPDATE mqtt.device_integrations SET settings = settings || '{"max_attempts": 1}' WHERE id = :'hosted';
UPDATE mqtt.devices SET last_data_at = '2000-01-01', last_data = '{"n": 1}', latest = '{}', is_data_latest = false WHERE external_id = 'pump';
-- All of this test is of one moment.
UPDATE mqtt.mqtt_dead_letters SET failed_at = failed_at - interval '1 second';
SELECT set_config('topicbase.queue_memory', '', false) \g /dev/null
SELECT is(mqtt.process_batch(), '{"dead": 1, "more": false, "failed": 0, "processed": 0}', 'it fails again');
SELECT is((SELECT count(*) FROM mqtt.mqtt_callback_deliveries), 0::bigint, 'with all that it would have done');
ALTER TABLE mqtt.devices DROP CONSTRAINT no_poison;
SELECT act_as('authenticated', :'alice');
SELECT is(api.replay_mqtt_dead_letters(:'org_alice', patch => '{"payload": {"n": 14}}') ->> 'replayed', '1', 'a patch stores a new message');
SELECT is(api.replay_mqtt_dead_letters(:'org_alice', ids => ARRAY[:'poison']::uuid []) ->> 'replayed', '1', 'once it can be processed, its effects are made');
SELECT act_as('none');
SELECT set_config('topicbase.queue_memory', '', false) \g /dev/null
SELECT is(mqtt.process_batch() ->> 'processed', '2', 'of both');
SELECT results_eq(
    format($$SELECT m.properties ->> 'replay_of', m.is_failed FROM mqtt.mqtt_messages AS m WHERE m.payload IN ('{"n": 13}', '{"n": 14}') AND (m.id = %L OR m.properties IS NOT NULL) ORDER BY m.position$$, :'poison'),
    format('VALUES (NULL, false), (%L, false)', :'poison'), 'the new one names the old, which was not stored again'
);
SELECT is((SELECT count(*) FROM mqtt.mqtt_callback_deliveries AS c WHERE c.message_id = :'poison'), 1::bigint, 'its webhook is posted');
SELECT is((SELECT d.last_data FROM mqtt.devices AS d WHERE d.external_id = 'pump' AND d.organization_id = :'org_alice'), '{"n": 14}', 'devices have the newest');
SELECT is(api.process_mqtt_queue_message(:'poison') ->> 'status', 'completed', 'it is completed');
SELECT is_empty('SELECT * FROM mqtt.check_ledger()', 'and the ledger is balanced');
SELECT act_as('authenticated', :'alice');
SELECT is(api.replay_mqtt_dead_letters(:'org_alice', ids => ARRAY[:'poison']::uuid []) ->> 'matched', '0', 'effects are not made twice');
SELECT act_as('none');
UPDATE mqtt.history SET flags = flags + 256 WHERE id = :'poison';
INSERT INTO mqtt.packed_days (day, state) VALUES ((now() AT TIME ZONE 'UTC')::date, 'packing');
SELECT act_as('authenticated', :'alice');
SELECT refuses(
    format('SELECT api.replay_mqtt_dead_letters(%L, ids => ARRAY[%L]::uuid [])', :'org_alice', :'poison'), 'PT409', 'day_packed', 'a packed day is left alone'
);
SELECT act_as('none');
DELETE FROM mqtt.packed_days;
UPDATE mqtt.history SET flags = flags - 256 WHERE id = :'poison';
DELETE FROM mqtt.mqtt_subscriptions;

-- After a session has died: one by one, each attempt counted before it is made.
SELECT act_as('anon', NULL, :'login');
SELECT tap.send(tap.numbers(17, 19)) \g /dev/null
SELECT act_as('none');
SELECT bridge.suspects(ARRAY(SELECT q.ctid FROM pgmq.q_mqtt_messages AS q)) AS suspects \gset
SELECT is(cardinality(:'suspects'::bigint []), 3, 'each message of a work item is a suspect');
SELECT mqtt.begin_attempt(clock_timestamp(), :'suspects'::bigint []) AS attempted \gset
SELECT is(mqtt.finish_attempt(:attempted), 'processed', 'and is tried alone');
SELECT is(mqtt.process_batch() ->> 'processed', '2', 'the others follow');
SELECT act_as('anon', NULL, :'login');
SELECT tap.send(tap.numbers(17, 19)) \g /dev/null
SELECT act_as('none');
SELECT mqtt.begin_attempt(clock_timestamp()) AS attempted \gset
SELECT results_eq('TABLE tap.items', 'VALUES (1, 1::smallint), (1, 0::smallint), (1, 0::smallint)', 'so it is where nobody knows the batch');
SELECT is(mqtt.finish_attempt(:attempted), 'processed', 'one after the other');
SELECT mqtt.process_batch() \g /dev/null
SELECT is_empty('SELECT * FROM mqtt.check_ledger()', 'and the ledger is balanced');

-- The ledger is a proof.
SELECT is_empty('SELECT * FROM api.check_mqtt_ledger()', 'the history has all that was completed');
CREATE TEMPORARY TABLE gone AS SELECT * FROM mqtt.history WHERE flags & 264 = 0 LIMIT 1;
DELETE FROM mqtt.history AS h USING gone AS g WHERE h.received_at = g.received_at AND h.position = g.position;
SELECT results_eq('SELECT difference FROM api.check_mqtt_ledger()', 'VALUES (1::bigint)', 'a row that is deleted afterwards is missed');
INSERT INTO mqtt.history SELECT * FROM gone;
SELECT act_as('anon', NULL, :'login');
SELECT is(tap.send(tap.numbers(20, 24)), 5, 'another batch');
SELECT act_as('none');
DELETE FROM mqtt.history WHERE payload = '{"n": 22}';
SELECT mqtt.process_batch() \g /dev/null
SELECT results_eq('SELECT difference FROM mqtt.check_ledger()', 'VALUES (1::bigint)', 'a row that is deleted before its effects are made is missed');
SELECT act_as('anon', NULL, :'login');
SELECT tap.send(tap.numbers(30, 34)) \g /dev/null
SELECT act_as('none');
DELETE FROM pgmq.q_mqtt_messages;
SELECT results_eq('SELECT difference FROM mqtt.check_ledger()', 'VALUES (6::bigint)', 'and so is a work item');

-- What is not plain takes the long way.
SELECT act_as('none');
SELECT set_config('request.headers', :'login', true) \g /dev/null
SELECT is(mqtt.store_plain_batch(mqtt.device_login(), '[{"topic": "org_alice/devices/pump/telemetry", "payload": 1}]'::jsonb || jsonb_build_array(c.odd)), 0, c.why)
FROM (VALUES
    ('{"topic": "org_alice/devices/other/telemetry", "payload": 1}'::jsonb, 'a topic that is new'),
    (jsonb_build_object('topic', 'org_alice/devices/pump/telemetry', 'payload', jsonb_build_object('ts', extract(EPOCH FROM now() - interval '1 hour'))), 'a time that may be closed'),
    ('{"topic": "org_alice/devices/pump/telemetry", "payload": 1, "qos": 1}', 'an option')
) AS c (odd, why);
UPDATE mqtt.device_integrations SET settings = settings || '{"topic_pattern": "{organization_prefix}/+/{message_type}/{device_id}"}' WHERE id = :'hosted';
SELECT is(mqtt.store_plain_batch(mqtt.device_login(), tap.numbers(1, 2)), 0, 'a topic whose pattern has changed');
UPDATE mqtt.topics SET is_current = true WHERE topic = 'org_alice/devices/pump/telemetry';
DELETE FROM mqtt.devices WHERE external_id = 'pump' AND organization_id = :'org_alice';
SELECT is(mqtt.store_plain_batch(mqtt.device_login(), tap.numbers(1, 2)), 0, 'or whose device was deleted');
SELECT * FROM finish();
ROLLBACK;

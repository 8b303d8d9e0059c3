-- What comes again: MQTT messages with an id of their own, attempts that a lock was in the way of, workers that ended before they had
-- begun well, and times that come again because the clock was set back.
\ir setup.psql
SELECT plan(30);
\set one 'aaaaaaaa-0000-4000-8000-000000000001'
\set two 'aaaaaaaa-0000-4000-8000-000000000002'
\set id 'cccccccc-0000-4000-8000-000000000001'
DELETE FROM mqtt.bridges;
DELETE FROM mqtt.workers;
DELETE FROM mqtt.ledger;
INSERT INTO mqtt.bridges (id, name, version, main_pid) VALUES (:'two', 'host:2', '1', 1);
INSERT INTO mqtt.bridge_leases (organization_id, integration_id, bridge_id) VALUES (:'org_alice', :'external', :'two'), (:'org_bob', :'bob_external', :'two');

CREATE FUNCTION pg_temp.deliver(integrations uuid [], numbers integer [], ids text []) RETURNS jsonb LANGUAGE sql AS $$
    SELECT bridge.ingest(
        'aaaaaaaa-0000-4000-8000-000000000002', integrations, numbers, array_agg('t/' || u.place ORDER BY u.place), array_agg('1'::bytea),
        array_agg(1::smallint), array_agg(false), array_agg(NULL::text),
        array_agg(CASE WHEN u.id IS NOT NULL THEN jsonb_build_object('user_properties', jsonb_build_array(ARRAY['k', 'v'], ARRAY['message_id', u.id])) END ORDER BY u.place)
    )
    FROM unnest(ids) WITH ORDINALITY AS u (id, place);
$$;
SELECT is(
    pg_temp.deliver(ARRAY[:'external']::uuid [], '{1,1,1,1}', ARRAY[:'id', NULL, :'id', 'no uuid']),
    '{"queued": 3, "dead": 0, "passed_over": 0, "repeated": 1}', 'twice in one batch is once'
);
SELECT results_eq(
    'SELECT message ->> ''topic'', message_id FROM pgmq.q_mqtt_messages ORDER BY msg_id',
    format($$VALUES ('t/1', %L::uuid), ('t/2', NULL), ('t/4', NULL)$$, :'id'), 'the first of them, under its id'
);
SELECT is(
    pg_temp.deliver(ARRAY[:'external']::uuid [], '{1}', ARRAY[:'id']), '{"queued": 0, "dead": 0, "passed_over": 0, "repeated": 1}', 'again later: nothing'
);
SELECT is(
    pg_temp.deliver(ARRAY[:'external', :'bob_external', :'hosted']::uuid [], '{2,3}', ARRAY[:'id', :'id']),
    jsonb_build_object('queued', 1, 'dead', 0, 'passed_over', 1, 'not_held', ARRAY[:'hosted']), 'of another integration it is another; what is not held is passed over'
);
SELECT is_empty('SELECT * FROM mqtt.check_ledger()', 'repeats are not counted as accepted');
SELECT is(mqtt.process_batch(10) ->> 'processed', '4', 'all are stored');
SELECT is((SELECT count(*) FROM mqtt.mqtt_messages WHERE id = :'id'), 2::bigint, 'under the id they came with');
INSERT INTO mqtt.bridge_leases (organization_id, integration_id, bridge_id) VALUES (:'org_alice', :'hosted', :'two');
\set other 'cccccccc-0000-4000-8000-000000000002'
SELECT is(
    pg_temp.deliver(ARRAY[:'external', :'hosted']::uuid [], '{1,2}', ARRAY[:'other', :'other']), '{"queued": 2, "dead": 0, "passed_over": 0}',
    'two integrations of an organization bring the same at once'
);
SELECT is(mqtt.process_batch(10), '{"dead": 0, "more": false, "failed": 0, "processed": 2}', 'both are stored');
SELECT is((SELECT count(*) FROM mqtt.mqtt_messages WHERE id = :'other'), 1::bigint, 'one of them under an id of its own');
DELETE FROM mqtt.bridge_leases WHERE integration_id = :'hosted';

-- Attempts
INSERT INTO pgmq.q_mqtt_messages (vt, message, organization_id, integration_id)
VALUES (clock_timestamp(), '{"topic": "org_alice/c", "payload": 1}', :'org_alice', :'hosted') RETURNING msg_id AS attempted \gset
SELECT is(mqtt.begin_attempt(now()), :attempted::bigint, 'an attempt begins');
SELECT is(mqtt.begin_attempt(now()), NULL, 'nobody else begins it meanwhile');
UPDATE pgmq.q_mqtt_messages SET vt = vt - interval '29 seconds';
SELECT is(mqtt.begin_attempt(now()), NULL, 'nor half a minute later, short of a second');
UPDATE pgmq.q_mqtt_messages SET vt = vt - interval '2 seconds';
SELECT is(mqtt.process_batch(10) ->> 'processed', '0', 'a batch does not take it yet');
SELECT is(mqtt.begin_attempt(now()), :attempted::bigint, 'the next single attempt does');
SELECT is(mqtt.undo_attempt(:attempted), 'busy', 'something was in the way');
SELECT results_eq(
    'SELECT attempts, jsonb_array_length(errors), vt < clock_timestamp() + interval ''2 seconds'' FROM pgmq.q_mqtt_messages',
    $$VALUES (1::smallint, 1, true)$$, 'and the attempt is not counted'
);
SELECT is(mqtt.undo_attempt(:attempted), 'busy', 'the first, too');
SELECT results_eq('SELECT attempts, errors FROM pgmq.q_mqtt_messages', $$VALUES (0::smallint, NULL::jsonb)$$, 'is as if it had never been');
SELECT is(mqtt.finish_attempt(:attempted), 'processed', 'it can be processed');

-- Workers
SELECT is(bridge.begin_work(:'one'), false, 'nobody ended before');
SELECT is(bridge.begin_work(:'one'), false, 'its own beginning is no end');
SELECT is(bridge.begin_work(:'two'), true, 'another finds what the first left, as that is gone');
SELECT lives_ok(format('SELECT bridge.end_work(%L)', :'two'), 'it gets through');
SELECT is(bridge.begin_work(:'one'), false, 'and leaves nothing');

-- The clock
DELETE FROM pgmq.q_mqtt_messages;
INSERT INTO pgmq.q_mqtt_messages (enqueued_at, vt, message, organization_id, integration_id, attempts, errors)
SELECT
    now() + v.ahead::interval, now() + v.ahead::interval + v.delay::interval, jsonb_build_object('topic', v.topic), :'org_alice', :'hosted', v.attempts,
    CASE WHEN v.attempts > 0 THEN jsonb_build_array(jsonb_build_object('at', now() + interval '3 hours')) END
FROM (VALUES
    ('first', '2 hours', '0', 0), ('second', '3 hours', '0', 0), ('failed', '-1 minute', '3 hours 2 minutes', 1), ('replayed', '0', '3 hours', 0), ('now', '0', '0', 0)
) AS v (topic, ahead, delay, attempts);
INSERT INTO pgmq.q_mqtt_outbound (enqueued_at, vt, expires_at, message, organization_id, integration_id)
VALUES
    (now() + interval '3 hours', now() + interval '3 hours', now() + interval '4 hours', '{"topic": "a"}', :'org_alice', :'external'),
    (now() + interval '3 hours', now() + interval '9 hours', NULL, '{"topic": "later"}', :'org_alice', :'external');
SELECT is(mqtt.repair_clock(), 4::bigint, 'what was noted in the future');
SELECT results_eq(
    $$SELECT message ->> 'topic' FROM pgmq.q_mqtt_messages WHERE vt <= clock_timestamp() ORDER BY vt, msg_id$$, $$VALUES ('first'), ('now'), ('second')$$,
    'is due, in its order'
);
SELECT results_eq(
    $$SELECT message ->> 'topic', round(extract(epoch FROM vt - clock_timestamp()) / 60) FROM pgmq.q_mqtt_messages WHERE vt > clock_timestamp() ORDER BY vt$$,
    $$VALUES ('failed', 1::numeric), ('replayed', 180)$$, 'what was to wait waits as long'
);
SELECT results_eq(
    $$SELECT message ->> 'topic', vt <= clock_timestamp(), round(extract(epoch FROM coalesce(expires_at, vt) - clock_timestamp()) / 3600) FROM pgmq.q_mqtt_outbound ORDER BY vt$$,
    $$VALUES ('a', true, 1::numeric), ('later', false, 9)$$, 'and so does what goes out'
);
SELECT is(mqtt.repair_clock(), 0::bigint, 'once');
SELECT * FROM finish();
ROLLBACK;

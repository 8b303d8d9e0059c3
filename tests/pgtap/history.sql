-- The lean history: topics by number and what they mean, their limit, ids that count nothing, what is too large in dead letters.
\ir setup.psql
SELECT plan(34);
CREATE FUNCTION tap.queue(organization_id uuid, integration_id uuid, topic text, payload jsonb, message_id uuid DEFAULT NULL) RETURNS bigint
LANGUAGE sql AS $$
    SELECT mqtt.count_accepted($1, 1);
    INSERT INTO pgmq.q_mqtt_messages (vt, message, organization_id, integration_id, message_id)
    VALUES (clock_timestamp(), jsonb_build_object('topic', $3, 'payload', $4), $1, $2, $5)
    RETURNING msg_id;
$$;
CREATE FUNCTION tap.numbers(topic text) RETURNS integer []
LANGUAGE sql AS $$
    SELECT array_agg(DISTINCT m.topic_number ORDER BY m.topic_number) FROM mqtt.mqtt_messages AS m WHERE m.topic = $1;
$$;

-- A topic has one number as long as it means the same.
SELECT act_as('none');
SELECT tap.queue(:'org_alice', :'hosted', 'org_alice/devices/pump/telemetry', '1') FROM generate_series(1, 3) \g /dev/null
SELECT mqtt.process_batch(100) \g /dev/null
SELECT tap.queue(:'org_alice', :'hosted', 'org_alice/devices/pump/telemetry', '2') \g /dev/null
SELECT mqtt.process_batch(100) \g /dev/null
SELECT is(cardinality(numbers('org_alice/devices/pump/telemetry')), 1, 'one number, in one batch and the next');
SELECT results_eq(
    $$SELECT t.device_id, t.message_type, t.role FROM mqtt.topics AS t WHERE t.topic = 'org_alice/devices/pump/telemetry'$$,
    format('VALUES (%L::uuid, %L, %L)', :'pump', 'telemetry', 'telemetry'), 'with what the topic pattern makes of it'
);
UPDATE mqtt.device_integrations SET settings = settings || '{"topic_pattern": "{organization_prefix}/+/{device_id}/#"}' WHERE id = :'hosted';
SELECT tap.queue(:'org_alice', :'hosted', 'org_alice/devices/pump/telemetry', '3') \g /dev/null
SELECT mqtt.process_batch(100) \g /dev/null
SELECT is(cardinality(numbers('org_alice/devices/pump/telemetry')), 2, 'another one where the pattern was changed');
SELECT results_eq(
    $$SELECT m.message_type, count(*) FROM mqtt.mqtt_messages AS m WHERE m.topic = 'org_alice/devices/pump/telemetry' GROUP BY 1 ORDER BY 1$$,
    $$VALUES ('telemetry', 4::bigint), (NULL, 1)$$, 'the past keeps its meaning'
);
UPDATE mqtt.device_integrations SET settings = settings - 'topic_pattern' WHERE id = :'hosted';
SELECT tap.queue(:'org_alice', :'hosted', 'org_alice/devices/pump/telemetry', '4') \g /dev/null
SELECT mqtt.process_batch(100) \g /dev/null
SELECT is(cardinality(numbers('org_alice/devices/pump/telemetry')), 2, 'and the old one again where it was changed back');
SELECT is(topics, 2, 'they are counted') FROM mqtt.topic_counts WHERE organization_id = :'org_alice';
DELETE FROM mqtt.devices WHERE id = :'pump';
SELECT tap.queue(:'org_alice', :'hosted', 'org_alice/devices/pump/telemetry', '5') \g /dev/null
SELECT mqtt.process_batch(100) \g /dev/null
SELECT is(cardinality(numbers('org_alice/devices/pump/telemetry')), 3, 'a device that was deleted and came again is another');
SELECT is((SELECT count(*) FROM mqtt.mqtt_messages WHERE device_id = :'pump'), 6::bigint, 'whose messages stay those of the first');
SELECT tap.queue(:'org_alice', :'hosted', 'org_alice/devices/long/' || repeat('x', 60000), '6') FROM generate_series(1, 2) \g /dev/null
SELECT is(mqtt.process_batch(100) ->> 'processed', '2', 'a topic may be longer than an entry of an index');

-- Members see the rows of their organizations, by whatever relation.
SELECT tap.queue(:'org_bob', :'bob_hosted', 'org_bob/devices/pump/telemetry', '7') \g /dev/null
SELECT mqtt.process_batch(100) \g /dev/null
SELECT act_as('authenticated', :'bob');
SELECT is((SELECT count(*) FROM mqtt.history), 1::bigint, 'a member sees the history of the organization');
SELECT is((SELECT count(*) FROM mqtt.topics), 1::bigint, 'its topics');
SELECT is((SELECT count(*) FROM mqtt.mqtt_messages), 1::bigint, 'and both as one');
SELECT throws_ok('SELECT * FROM mqtt.message_id_key', '42501', NULL, 'and nothing of the key');
SELECT throws_ok('SELECT mqtt.message_id(now(), 1)', '42501', NULL, 'nor what is made with it');

-- No more topics than the limit.
SELECT act_as('none');
UPDATE mqtt.configuration SET max_topics = 5;
SELECT tap.queue(:'org_alice', :'hosted', 'org_alice/devices/d' || n || '/telemetry', to_jsonb(n)) FROM generate_series(1, 3) AS n \g /dev/null
SELECT is(mqtt.process_batch(100), '{"dead": 2, "more": false, "failed": 0, "processed": 1}', 'one of three further topics is the last');
SELECT results_eq(
    $$SELECT d.error_message, d.topic, d.message -> 'payload' FROM mqtt.mqtt_dead_letters AS d ORDER BY d.topic$$,
    $$SELECT 'topic_limit_reached', t.topic, to_jsonb(t.n)
    FROM (SELECT n, 'org_alice/devices/d' || n || '/telemetry' AS topic FROM generate_series(1, 3) AS n) AS t
    WHERE NOT EXISTS (SELECT FROM mqtt.topics AS x WHERE x.topic = t.topic) ORDER BY t.topic$$, 'messages to others become dead letters'
);
SELECT is_empty('SELECT * FROM mqtt.check_ledger()', 'the ledger adds up with them');
SELECT tap.queue(:'org_bob', :'bob_hosted', 'org_bob/devices/new/telemetry', '8') \g /dev/null
SELECT is(mqtt.process_batch(100) ->> 'processed', '1', 'other organizations have their own');
SELECT is((SELECT count(*) FROM mqtt.organizations AS o WHERE o.has_all_topics), 1::bigint, 'the organization is marked');
CREATE FUNCTION tap.send(topic text) RETURNS json
LANGUAGE sql AS $$
    SELECT api.mqtt_ingest(topic, '1');
$$;
CREATE FUNCTION tap.send_batch(topic text, extra jsonb) RETURNS json
LANGUAGE sql AS $$
    SELECT api.mqtt_ingest_batch(jsonb_build_array(jsonb_build_object('topic', topic, 'payload', 1) || extra)::json);
$$;
GRANT EXECUTE ON FUNCTION tap.send(text), tap.send_batch(text, jsonb) TO public;
SELECT jsonb_build_object('x-username', 'pump_login', 'x-password', :'pump_password', 'x-client-id', 'pump_login_1') AS headers \gset
SELECT act_as('anon', NULL, :'headers');
SELECT refuses('SELECT tap.send(''org_alice/devices/more/telemetry'')', 'PT403', 'topic_limit_reached', 'a further topic over HTTP');
SELECT is(send('org_alice/devices/pump/telemetry') ->> 'status', 'queued', 'one that is in use is accepted');
SELECT is(
    send_batch('org_alice/devices/more/telemetry', a.extra) -> 'rejected' -> 0 ->> 'code', 'topic_limit_reached', 'a further one in a batch' || a.extra::text
)
FROM (VALUES ('{}'::jsonb), ('{"qos": 1}')) AS a (extra);
SELECT is((send_batch('org_alice/devices/pump/telemetry', '{}') ->> 'accepted'), '1', 'one that is in use in a batch');

-- Topics that no stored message has are removed.
SELECT act_as('none');
UPDATE mqtt.topics SET created_at = now() - interval '2 hours';
SELECT mqtt.process_batch(100) \g /dev/null
SELECT is(mqtt.remove_topics(:'org_alice', ARRAY(SELECT t.number FROM mqtt.topics AS t)), 0, 'none while all are in use');
DELETE FROM mqtt.mqtt_messages WHERE organization_id = :'org_alice' AND topic LIKE '%/long/%';
DELETE FROM mqtt.mqtt_messages WHERE organization_id = :'org_alice' AND device_id = :'pump';
SELECT is(mqtt.remove_topics(:'org_alice', ARRAY(SELECT t.number FROM mqtt.topics AS t)), 3, 'those that are not');
SELECT is(topics, 2, 'which are counted no longer') FROM mqtt.topic_counts WHERE organization_id = :'org_alice';
SELECT ok(NOT has_all_topics, 'so the organization may use others') FROM mqtt.organizations WHERE id = :'org_alice';

-- Nothing that leaves lets anybody count what others send: neither ids nor cursors have a relation with the numbers that they are made of.
CREATE TEMPORARY TABLE given AS
SELECT n, mqtt.message_id(now(), n) AS message, mqtt.message_id(now(), n, true) AS receipt FROM generate_series(1, 2000) AS n;
SELECT is(
    (SELECT count(DISTINCT right(g.id::text, 10)) FROM given CROSS JOIN LATERAL (VALUES (message), (receipt)) AS g (id)), 4000::bigint,
    'ids of one time and place differ'
);
SELECT ok(abs(corr(n, ('x' || right(g.id::text, 8))::bit(32)::bigint)) < 0.1, 'and tell no number: ' || g.kind)
FROM given CROSS JOIN LATERAL (VALUES
    ('message', message), ('receipt', receipt),
    ('cursor', right(encode(decode(translate(mqtt.encode_cursor(now(), now(), :'org_alice', message), '-_', '+/'), 'base64'), 'hex'), 32)::uuid),
    ('stream cursor', left(encode(decode(translate(mqtt.stream_cursor(1, n, n, 0, 0, now()), '-_', '+/') || '=', 'base64'), 'hex'), 32)::uuid)
) AS g (kind, id)
GROUP BY g.kind;
SELECT ok(
    mqtt.message_id(now(), 9, false, 1) < mqtt.message_id(now(), 3, false, 2) AND mqtt.message_id(now(), 9, false, 999999) > mqtt.message_id(now(), 3, false, 2),
    'ids of one call are in its order'
);
SELECT * FROM finish();
ROLLBACK;

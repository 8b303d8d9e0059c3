-- Replay to a broker: the topics, sizes and integrations that mqtt_publish allows, and the bytes that came.
\ir setup.psql
SELECT plan(45);
INSERT INTO mqtt.mqtt_messages (received_at, measured_at, position, organization_id, id, integration_id, direction, topic, payload, content_type, body)
SELECT now() - interval '1 minute', now() - interval '1 minute', row_number() OVER (), :'org_alice', gen_random_uuid(), i.id, 'incoming', 'org_alice/' || v.topic, v.payload, v.content_type, v.body
FROM (VALUES (:'hosted'::uuid), (:'external')) AS i (id)
CROSS JOIN (VALUES
    ('json', '{"n": 1}'::jsonb, NULL, NULL::bytea), ('text', '"on"', NULL, NULL), ('plain', '"on"', 'text/plain', NULL), ('string', '"on"', 'application/json', NULL),
    ('cbor', '{"n": 1}', 'application/cbor', NULL), ('bytes', 'null', 'application/octet-stream', '\xff')
) AS v (topic, payload, content_type, body);
INSERT INTO mqtt.mqtt_dead_letters (failed_at, received_at, organization_id, id, integration_id, direction, attempts, error_message, topic, message)
SELECT now(), now(), :'org_alice', gen_random_uuid(), :'hosted', 'outgoing', 3, 'gone', 'org_alice/out', '{"topic": "org_alice/out", "payload": 1}';

SELECT act_as('authenticated', :'alice');
SELECT refuses(
    format('SELECT api.replay_mqtt_messages(%L, ''#'', now() - interval ''1 hour'', to_topic => ''org_bob/devices/b/commands'')', :'hosted'),
    'PT403', 'topic_not_allowed', 'another organization''s topic'
);
SELECT refuses(
    format('SELECT api.replay_mqtt_messages(%L, ''#'', now() - interval ''1 hour'', to_integration_id => %L, to_topic => ''plant/{topic}'')', :'external', :'hosted'),
    'PT403', 'topic_not_allowed', 'a topic of a broker of one''s own, at the shared one'
);
SELECT refuses(
    format('SELECT api.replay_mqtt_messages(%L, ''#'', now() - interval ''1 hour'', to_topic => ''org_bob/x'', dry_run => true)', :'hosted'),
    'PT403', 'topic_not_allowed', 'a dry run says so too'
);
SELECT refuses(
    format('SELECT api.replay_mqtt_dead_letters(%L, patch => ''{"topic": "org_bob/x"}'')', :'org_alice'), 'PT403', 'topic_not_allowed', 'a dead letter patched'
);
SELECT refuses(
    format($$SELECT api.replay_mqtt_dead_letters(%L, patch => jsonb_build_object('payload', repeat('x', 300000)))$$, :'org_alice'),
    'PT413', 'payload_too_large', 'a payload patched'
);
SELECT refuses(format('SELECT api.replay_mqtt_dead_letters(%L, %s)', :'org_alice', c.arguments), 'PT400', 'replay_invalid', c.arguments, c.detail)
FROM (VALUES
    ($$patch => '[]'$$, 'patch must be an object %'), ($$patch => '{"topik": "x"}'$$, 'patch must be an object %'), ($$patch => '{"topic": "a/#"}'$$, 'patch: %wildcard%'),
    ($$patch => '{"qos": 3}'$$, 'patch: qos %'), ($$patch => '{"retain": 1}'$$, 'patch: retain %'), ($$patch => '{"content_type": 7}'$$, 'patch: content_type %'),
    ($$patch => '{"payload": 1e999}'$$, 'patch.payload %'), (format('patch => ''{"payload": [%s1]}''', repeat('5e-324,', 201)), 'patch.payload%'), ('max_per_second => 0', 'max_per_second %'), ('"limit" => 0', 'limit %')
) AS c (arguments, detail);
SELECT refuses(format('SELECT api.replay_mqtt_messages(%L, %s)', :'hosted', c.arguments), 'PT400', 'replay_invalid', c.arguments, c.detail)
FROM (VALUES
    ($$NULL, now()$$, 'A topic filter %'), ($$'#', NULL$$, 'since %'), ($$'#', now(), to_topic => '{topic}/+'$$, 'to_topic %'),
    ($$'#', now(), max_per_second => NULL$$, 'max_per_second %'), ($$'#', now(), "limit" => NULL$$, 'limit %')
) AS c (arguments, detail);
SELECT act_as('none');
SELECT is((SELECT count(*) FROM pgmq.q_mqtt_outbound), 0::bigint, 'nothing of that is queued');
SELECT is((SELECT replay_count FROM mqtt.mqtt_dead_letters), 0::smallint, 'nor marked as replayed');
UPDATE mqtt.device_integrations SET status = 'inactive' WHERE id = :'external';
SELECT act_as('authenticated', :'alice');
SELECT refuses(
    format('SELECT api.replay_mqtt_messages(%L, ''#'', now() - interval ''1 hour'')', :'external'), 'PT403', 'integration_inactive', 'an integration switched off'
);
SELECT is(api.replay_mqtt_dead_letters(:'org_alice') ->> 'replayed', '1', 'a dead letter goes out again to where it belongs');
SELECT is(
    (SELECT string_agg(m.value ->> 'topic', ' ' ORDER BY m.ordinality) FROM jsonb_array_elements(
        api.replay_mqtt_messages(:'hosted', '#', now() - interval '1 hour', to_topic => 'org_alice/again/{topic}', dry_run => true) -> 'messages'
    ) WITH ORDINALITY AS m),
    (SELECT string_agg('org_alice/again/org_alice/' || t, ' ' ORDER BY o) FROM unnest('{json,text,plain,string,cbor,bytes}'::text []) WITH ORDINALITY AS v (t, o)),
    'what was received at the same time in the order of acceptance'
);
SELECT is(api.replay_mqtt_messages(:'hosted', '#', now() - interval '1 hour', to_topic => 'org_alice/again/{topic}') ->> 'replayed', '6', 'and the history');
SELECT act_as('none');
SELECT results_eq(
    $$SELECT split_part(message ->> 'topic', '/', 4), coalesce(encode(body, 'escape'), message ->> 'payload'), message ->> 'content_type'
    FROM pgmq.q_mqtt_outbound WHERE message ->> 'topic' LIKE '%/again/%' ORDER BY 1$$,
    $$VALUES ('bytes', '\377', 'application/octet-stream'), ('cbor', '{"n": 1}', 'application/json'), ('json', '{"n": 1}', NULL), ('plain', 'on', 'text/plain'),
        ('string', 'on', 'application/json'), ('text', 'on', NULL)$$,
    'as the bytes that came; what was decoded as the JSON that it became'
);
SELECT is((SELECT body FROM pgmq.q_mqtt_outbound WHERE message ->> 'topic' LIKE '%/string'), NULL, 'a JSON string with its quotes');
SELECT act_as('service_role');
SELECT is(
    api.replay_mqtt_messages(:'hosted', 'org_alice/json', now() - interval '1 hour', to_topic => 'fleet/x') ->> 'replayed', '1', 'the operator may use any topic'
);

-- Which dead letters, where to, how fast, and their trace.
SELECT act_as('none');
DELETE FROM mqtt.mqtt_dead_letters;
DELETE FROM pgmq.q_mqtt_messages;
DELETE FROM pgmq.q_mqtt_outbound;
INSERT INTO mqtt.mqtt_dead_letters (failed_at, received_at, organization_id, id, integration_id, direction, attempts, error_message, topic, message, body)
SELECT
    now() - make_interval(hours => n), now() - make_interval(hours => n), :'org_alice', md5(n::text)::uuid, :'hosted', d::mqtt.message_direction, 3, 'boom',
    'org_alice/' || n, jsonb_build_object('topic', 'org_alice/' || n) || m, convert_to(n::text, 'UTF8')
FROM (
    VALUES (1, 'incoming', '{}'::jsonb), (2, 'incoming', '{}'), (3, 'incoming', '{}'), (4, 'outgoing', '{}'), (5, 'outgoing', '{"user_properties": {"a": "b"}}'),
    (6, 'outgoing', '{"user_properties": [["a", "b"], ["a", "c"]]}')
) AS v (n, d, m);
SELECT act_as('authenticated', :'alice');
SELECT is(api.replay_mqtt_dead_letters(:'org_alice', since => now() - interval '2.5 hours', until => now() - interval '1.5 hours', dry_run => true) #>> '{messages,0,topic}', 'org_alice/2', 'by time');
SELECT is(
    api.replay_mqtt_dead_letters(
        :'org_alice', topic => 'org_alice/+', until => now() - interval '30 minutes', ids => ARRAY[md5('1'), md5('2'), md5('3')]::uuid [], to_integration_id => :'external',
        max_per_second => 0.1, patch => '{"topic": "org_alice/mended", "qos": 1, "retain": true}'
    ) ->> 'replayed', '3', 'to another integration'
);
SELECT act_as('none');
SELECT results_eq(
    $$SELECT integration_id, message - 'properties', convert_from(body, 'UTF8') COLLATE "C", round(extract(EPOCH FROM vt - min(vt) OVER ())) FROM pgmq.q_mqtt_messages ORDER BY vt$$,
    format($$SELECT %L::uuid, '{"topic": "org_alice/mended", "qos": 1, "retain": true}'::jsonb, n::text COLLATE "C", (3 - n) * 10::numeric FROM generate_series(3, 1, -1) AS n$$, :'external'),
    'patched, oldest first, one in ten seconds'
);
SELECT is_empty('SELECT * FROM mqtt.check_ledger()', 'the ledger counts them as accepted again');
SELECT act_as('authenticated', :'alice');
SELECT is(api.replay_mqtt_dead_letters(:'org_alice', ids => ARRAY[md5('1')]::uuid []) ->> 'replayed', '1', 'who is named goes again');
SELECT is(api.replay_mqtt_dead_letters(:'org_alice') ->> 'replayed', '3', 'the others once');
SELECT act_as('none');
SELECT results_eq(
    'SELECT message -> ''user_properties'' FROM pgmq.q_mqtt_outbound ORDER BY message ->> ''topic''',
    format(
        'VALUES (jsonb_build_object(''replay_of'', %1$L)), (jsonb_build_object(''a'', ''b'', ''replay_of'', %2$L)), (jsonb_build_array(''["a", "b"]''::jsonb, ''["a", "c"]''::jsonb, jsonb_build_array(''replay_of'', %3$L)))',
        md5('4')::uuid, md5('5')::uuid, md5('6')::uuid
    ), 'what goes out tells in its user properties whose replay it is'
);
SELECT is((SELECT array_agg(replay_count ORDER BY topic) FROM mqtt.mqtt_dead_letters), '{2,1,1,1,1,1}'::smallint [], 'each is counted');

-- A QoS as JSON may write it.
SELECT act_as('authenticated', :'alice');
SELECT is(api.replay_mqtt_dead_letters(:'org_alice', ids => ARRAY[md5('2'), md5('4')]::uuid [], patch => '{"qos": 1.0}') ->> 'replayed', '2', 'a QoS of 1.0');
SELECT is((SELECT q.qos FROM api.mqtt_message_queue AS q WHERE q.topic = 'org_alice/2' AND q.status = 'pending'), 1::smallint, 'can be read in the queue');
SELECT act_as('none');
SELECT results_eq(
    $$SELECT message ->> 'qos' FROM pgmq.q_mqtt_messages WHERE message @> '{"topic": "org_alice/2", "qos": 1}'
    UNION ALL SELECT message ->> 'qos' FROM pgmq.q_mqtt_outbound WHERE message @> '{"topic": "org_alice/4", "qos": 1}'$$,
    ARRAY['1', '1'], 'and is stored as the number that workers and bridges read'
);

-- An integration that was deleted has no broker to publish to.
UPDATE mqtt.mqtt_dead_letters SET integration_id = :'unknown', replayed_at = NULL WHERE id = md5('5')::uuid;
SELECT act_as('authenticated', :'alice');
SELECT is(api.replay_mqtt_dead_letters(:'org_alice', ids => ARRAY[md5('5')]::uuid []) ->> 'matched', '0', 'what was to be published by an integration that is deleted is left out');
SELECT is(
    api.replay_mqtt_dead_letters(:'org_alice', ids => ARRAY[md5('5')]::uuid [], to_integration_id => :'hosted') ->> 'replayed', '1', 'but can be sent by another'
);

-- A backlog, which is what a replay makes.
SELECT act_as('none');
DELETE FROM pgmq.q_mqtt_messages;
SELECT set_config('topicbase.queue_memory', '', false) AS forgotten \gset
INSERT INTO pgmq.q_mqtt_messages (vt, message, organization_id, integration_id)
SELECT clock_timestamp(), jsonb_build_object('topic', 'org_alice/flood', 'payload', n), :'org_alice', :'hosted' FROM generate_series(1, 5000) AS n;
SELECT is(mqtt.process_batch(100) ->> 'processed', '100', 'a worker that begins with a backlog');
INSERT INTO pgmq.q_mqtt_messages (vt, message, organization_id, integration_id)
SELECT clock_timestamp(), '{"topic": "org_bob/x", "payload": 1}', i.organization_id, i.id FROM mqtt.device_integrations AS i WHERE i.id = :'bob_hosted';
SELECT is(mqtt.process_batch(100) ->> 'processed', '100', 'comes');
SELECT is((SELECT count(*) FROM mqtt.mqtt_messages WHERE organization_id = :'org_bob'), 1::bigint, 'to another organization''s new message in its next batch');
SELECT * FROM finish();
ROLLBACK;

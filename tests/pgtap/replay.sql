-- Replay to a broker: the topics, sizes and integrations that mqtt_publish allows, and the bytes that came.
\ir setup.psql
SELECT plan(16);
INSERT INTO mqtt.mqtt_messages (received_at, organization_id, id, integration_id, direction, topic, payload, content_type, body)
SELECT now() - interval '1 minute', :'org_alice', gen_random_uuid(), i.id, 'incoming', 'org_alice/' || v.topic, v.payload, v.content_type, v.body
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
SELECT act_as('none');
SELECT is((SELECT count(*) FROM pgmq.q_mqtt_outbound), 0::bigint, 'nothing of that is queued');
SELECT is((SELECT replay_count FROM mqtt.mqtt_dead_letters), 0::smallint, 'nor marked as replayed');
UPDATE mqtt.device_integrations SET status = 'inactive' WHERE id = :'external';
SELECT act_as('authenticated', :'alice');
SELECT refuses(
    format('SELECT api.replay_mqtt_messages(%L, ''#'', now() - interval ''1 hour'')', :'external'), 'PT403', 'integration_inactive', 'an integration switched off'
);
SELECT is(api.replay_mqtt_dead_letters(:'org_alice') ->> 'replayed', '1', 'a dead letter goes out again to where it belongs');
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

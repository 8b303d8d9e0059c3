-- Limits that an operator sets for one organization, each where what it limits is taken: bytes, the workers' time, integrations, calls, stream.
\ir setup.psql
SELECT plan(37);
SELECT jsonb_build_object('x-username', 'pump_login', 'x-password', :'pump_password', 'x-client-id', 'pump_login_1') AS login \gset

-- Bytes.
UPDATE mqtt.organizations SET max_bytes_per_second = 8000 WHERE id = :'org_alice';
SELECT act_as('anon', NULL, :'login');
SELECT is(
    (SELECT count(*) FROM generate_series(1, 8) AS n CROSS JOIN LATERAL (SELECT api.mqtt_ingest('org_alice/x', to_json(repeat('x', 9000 + n))) ->> 'status' AS status) AS a WHERE a.status = 'queued'),
    8::bigint, 'while there is room a message is taken whole'
);
SELECT throws_like($$SELECT api.mqtt_ingest('org_alice/x', '1')$$, '%"quota_exceeded"%', 'and the next one is not, however small');
SELECT throws_like($$SELECT api.mqtt_ingest_batch('[{"topic": "org_alice/x", "payload": 1}]')$$, '%"quota_exceeded"%', 'nor is a batch');
SELECT throws_like($$SELECT api.mqtt_ingest_batch('[{"topic": "org_alice/x", "payload": 1}]')$$, '%More bytes a second%', 'which is told why');
SELECT act_as('none');
SELECT ok(mqtt.take_bytes(:'org_alice', 8000, 1) BETWEEN 1 AND 9, 'and for how long');
UPDATE mqtt.quota_buckets SET filled_at = filled_at - interval '9 seconds';
SELECT act_as('anon', NULL, :'login');
SELECT is(api.mqtt_ingest('org_alice/x', '1') ->> 'status', 'queued', 'once that is made up for');
SELECT is(
    api.mqtt_ingest_batch((SELECT json_agg(json_build_object('topic', 'org_alice/x', 'payload', repeat('x', 1000))) FROM generate_series(1, 90)))::jsonb ->> 'accepted', '90',
    'a batch is taken whole, too'
);
SELECT act_as('none');
SELECT cmp_ok((SELECT min(b.tokens) FROM mqtt.quota_buckets AS b WHERE b.subject_id = :'org_alice'), '<', -80000::double precision, 'and counts with its bytes');
UPDATE mqtt.organizations SET max_bytes_per_second = NULL WHERE id = :'org_alice';
SELECT act_as('anon', NULL, :'login');
SELECT is(api.mqtt_ingest('org_alice/x', '1') ->> 'status', 'queued', 'without the limit, what was counted is forgotten');

-- What is imported counts likewise, and waits while the organization is stopped.
SELECT act_as('none');
UPDATE mqtt.organizations SET max_bytes_per_second = 8000 WHERE id = :'org_alice';
DELETE FROM mqtt.quota_buckets;
CREATE FUNCTION pg_temp.import(size integer) RETURNS jsonb LANGUAGE sql AS $$
    SELECT api.import_messages(
        '11111111-0000-4000-8000-000000000010', (SELECT json_agg(json_build_object('topic', 'org_alice/x', 'payload', repeat('x', size), 'timestamp', '2024-01-01T00:00:0' || n || 'Z'))
        FROM generate_series(1, 9) AS n)
    );
$$;
SELECT act_as('authenticated', :'alice');
SELECT is((SELECT count(*) FROM generate_series(1, 8) AS n WHERE pg_temp.import(1000 + n) ->> 'imported' = '9'), 8::bigint, 'an import is taken whole');
SELECT throws_like('SELECT pg_temp.import(1)', '%"quota_exceeded"%', 'the next one waits until it is made up for');
SELECT act_as('none');
UPDATE mqtt.organizations SET max_bytes_per_second = NULL, ingest_pause = 'The disk is nearly full.' WHERE id = :'org_alice';
SELECT act_as('authenticated', :'alice');
SELECT throws_like('SELECT pg_temp.import(1)', '%"queue_paused"%', 'and while ingest is stopped');
SELECT act_as('none');
UPDATE mqtt.organizations SET ingest_pause = NULL WHERE id = :'org_alice';
SELECT act_as('authenticated', :'alice');
SELECT is(pg_temp.import(1) ->> 'imported', '9', 'no longer');

-- The workers' time.
SELECT act_as('none');
DELETE FROM pgmq.q_mqtt_messages;
UPDATE mqtt.organizations SET max_processing_seconds = 6 WHERE id = :'org_alice';
CREATE FUNCTION pg_temp.queue(organization uuid, integration uuid, payload text DEFAULT '1') RETURNS void LANGUAGE sql AS $$
    INSERT INTO pgmq.q_mqtt_messages (vt, message, organization_id, integration_id)
    VALUES (clock_timestamp(), jsonb_build_object('topic', 'x', 'payload', payload::jsonb), organization, integration);
    SELECT mqtt.count_accepted(organization, 1);
$$;
CREATE FUNCTION pg_temp.waiting() RETURNS text LANGUAGE sql AS
$$SELECT string_agg(o.slug || ' ' || w.n, ', ' ORDER BY o.slug)
FROM (SELECT q.organization_id, count(*) AS n FROM pgmq.q_mqtt_messages AS q GROUP BY q.organization_id) AS w JOIN mqtt.organizations AS o ON o.id = w.organization_id$$;
SELECT pg_temp.queue(:'org_alice', :'hosted', to_json(repeat('x', 100000))::text), pg_temp.queue(:'org_bob', :'bob_hosted');
SELECT is(mqtt.process_batch() ->> 'processed', '2', 'both are stored');
SELECT cmp_ok(
    (SELECT b.tokens FROM mqtt.quota_buckets AS b WHERE b.subject_id = :'org_alice' AND b.shard = mqtt.time_shard()), '<', 6::double precision, 'the time of a batch is counted'
);
SELECT is((SELECT count(*) FROM mqtt.quota_buckets AS b WHERE b.subject_id = :'org_bob' AND b.shard = mqtt.time_shard()), 0::bigint, 'for whom it is limited');
SELECT cmp_ok(
    (
        SELECT max((a.details ->> 'processing_ms')::numeric) FILTER (WHERE a.organization_id = :'org_alice')
            / max((a.details ->> 'processing_ms')::numeric) FILTER (WHERE a.organization_id = :'org_bob')
        FROM mqtt.integration_activity_log AS a WHERE a.activity_type = 'messages_processed'
    ), '>', 50::numeric, 'and shared out by how much work each one''s messages are'
);
UPDATE mqtt.quota_buckets SET tokens = -1, filled_at = clock_timestamp() WHERE shard = mqtt.time_shard();
SELECT pg_temp.queue(:'org_alice', :'hosted'), pg_temp.queue(:'org_bob', :'bob_hosted');
SELECT is(mqtt.process_batch() ->> 'processed', '1', 'of one that has taken its time');
SELECT is(pg_temp.waiting(), 'alice 1', 'the messages wait');
SELECT is(mqtt.process_batch() ->> 'processed', '0', 'while others are served');
UPDATE mqtt.quota_buckets SET filled_at = clock_timestamp() - interval '11 seconds' WHERE shard = mqtt.time_shard();
SELECT is(mqtt.process_batch() ->> 'processed', '1', 'a tenth of it comes back in six seconds');

-- Integrations that are switched on.
UPDATE mqtt.organizations SET max_integrations = 2 WHERE id = :'org_alice';
SELECT act_as('authenticated', :'alice');
SELECT refuses(
    format('SELECT api.upsert_integration(%L, %L, %L)', :'org_alice', 'third', 'mqtt_hosted'), 'PT409', 'integration_limit_reached', 'no third where two may be', '%has 2 integrations%'
);
SELECT lives_ok(format('SELECT api.upsert_integration(%L, %L, %L, status => %L)', :'org_alice', 'third', 'mqtt_hosted', 'inactive'), 'but one that is switched off');
SELECT refuses(
    format(
        'SELECT api.upsert_integration(%L, %L, %L, integration_id => (SELECT id FROM api.device_integrations WHERE name = %L), status => %L)',
        :'org_alice', 'third', 'mqtt_hosted', 'third', 'active'
    ), 'PT409', 'integration_limit_reached', 'which cannot be switched on'
);
SELECT api.upsert_integration(:'org_alice', 'off ' || n, 'mqtt_hosted', status => 'inactive') FROM generate_series(4, 20) AS n \g /dev/null
SELECT refuses(
    format('SELECT api.upsert_integration(%L, %L, %L, status => %L)', :'org_alice', 'off 21', 'mqtt_hosted', 'inactive'),
    'PT409', 'integration_limit_reached', 'and of those no more than ten times as many', '%has 20 integrations%'
);
SELECT act_as('authenticated', :'bob');
SELECT lives_ok(format('SELECT api.upsert_integration(%L, %L, %L)', :'org_bob', 'third', 'mqtt_hosted'), 'another organization has its own');
SELECT throws_ok(format('SELECT mqtt.require_integration_room(%L)', :'org_alice'), 'PT404', NULL, 'and is told nothing of this one''s');
SELECT act_as('none');
UPDATE mqtt.organizations SET max_integrations = 1 WHERE id = :'org_alice';
SELECT is((SELECT count(*) FROM mqtt.surplus_of_organizations()), 1::bigint, 'once the limit is lowered, the newest is one too many');

-- Subscriptions: the installation's limit, for each organization.
SELECT count(*) AS present FROM mqtt.mqtt_subscriptions AS s WHERE s.organization_id = :'org_alice' \gset
UPDATE mqtt.configuration SET max_subscriptions = :present + 1;
SELECT act_as('authenticated', :'alice');
SELECT lives_ok(format('SELECT api.mqtt_subscribe(%L, %L)', :'external', 'limit/1'), 'the last subscription');
SELECT refuses(format('SELECT api.mqtt_subscribe(%L, %L)', :'external', 'limit/2'), 'PT409', 'subscription_limit_reached', 'one too many');
SELECT lives_ok(format('SELECT api.mqtt_subscribe(%L, %L, 1)', :'external', 'limit/1'), 'one that is there can be changed');
SELECT act_as('none');
UPDATE mqtt.organizations SET max_subscriptions = :present + 2 WHERE id = :'org_alice';
SELECT act_as('authenticated', :'alice');
SELECT lives_ok(format('SELECT api.mqtt_subscribe(%L, %L)', :'external', 'limit/2'), 'another one, where an operator allows more');
SELECT refuses(format('SELECT api.mqtt_subscribe(%L, %L)', :'external', 'limit/3'), 'PT409', 'subscription_limit_reached', 'so many');
-- An API key for one integration does not see those of the others.
SELECT set_config('request.jwt.claims', jsonb_build_object('role', 'authenticated', 'sub', :'unknown', 'api_key', jsonb_build_object(
    'organization_id', :'org_alice', 'scope', 'admin', 'integration_ids', jsonb_build_array(:'hosted')
))::text, true) \g /dev/null
SELECT refuses(format('SELECT api.mqtt_subscribe(%L, %L)', :'hosted', 'org_alice/limit/3'), 'PT409', 'subscription_limit_reached', 'by a key for another integration, too');

-- Calls and connections to the stream.
SELECT act_as('none');
UPDATE mqtt.organizations SET max_calls = 1, max_stream_connections = 3 WHERE id = :'org_alice';
SELECT is(mqtt.free_connections(gen_random_uuid(), (SELECT o.number FROM mqtt.organizations AS o WHERE o.id = :'org_alice')), 3, 'the organization''s own number of connections');
SELECT is(
    mqtt.free_connections(gen_random_uuid(), (SELECT o.number FROM mqtt.organizations AS o WHERE o.id = :'org_bob')), (SELECT c.max_stream_connections FROM mqtt.configuration AS c),
    'or the installation''s'
);
SELECT act_as('authenticated', :'alice');
SELECT mqtt.take_call_place();
SELECT act_as('none');
SELECT is(
    (SELECT count(*) FROM pg_locks AS l WHERE l.locktype = 'advisory' AND l.pid = pg_backend_pid() AND l.classid = mqtt.call_lock()), 1::bigint, 'the first call takes the one place'
);
SELECT * FROM finish();
ROLLBACK;

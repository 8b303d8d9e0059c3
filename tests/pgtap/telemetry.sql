-- api.query_telemetry: filters, buckets, each documented error and isolation.
\ir setup.psql
SELECT plan(39);
INSERT INTO mqtt.devices (id, organization_id, integration_id, external_id) VALUES ('11111111-0000-4000-8000-000000000031', :'org_alice', :'hosted', 'valve');
SELECT date_trunc('hour', now()) AS hour \gset
INSERT INTO mqtt.mqtt_messages (
    organization_id, id, integration_id, device_id, direction, topic, message_type, payload, body, received_at, sent_at, measured_at, position
)
SELECT
    :'org_alice', gen_random_uuid(), :'hosted', v.device_id::uuid, v.direction::mqtt.message_direction, 'org_alice/devices/x/' || v.message_type, v.message_type, v.payload::jsonb, v.body,
    :'hour'::timestamptz - v.age::interval, :'hour'::timestamptz - v.sent_age::interval, :'hour'::timestamptz - coalesce(v.sent_age, v.age)::interval, row_number() OVER ()
FROM (VALUES
    (:'pump', 'incoming', 'telemetry', '{"temperature": 20, "humidity": 50}', NULL, '10 minutes', NULL),
    (:'pump', 'incoming', 'data', '{"temperature": 22}', NULL::bytea, '20 minutes', NULL),
    (:'pump', 'incoming', 'sensor', '23.5', NULL, '30 minutes', NULL),
    (:'pump', 'incoming', 'status', '{"temperature": 99}', NULL, '1 minute', NULL),
    (:'pump', 'outgoing', 'telemetry', '{"temperature": 98}', NULL, '2 minutes', NULL),
    (:'pump', 'incoming', 'telemetry', 'null', '\x00', '3 minutes', NULL),
    (NULL, 'incoming', 'telemetry', '{"temperature": 97}', NULL, '4 minutes', NULL),
    (:'pump', 'incoming', 'telemetry', '{"temperature": 30, "on": true, "text": "x"}', NULL, '50 minutes', '100 minutes'),
    ('11111111-0000-4000-8000-000000000031', 'incoming', 'telemetry', '{"pressure": 1.5}', NULL, '5 minutes', NULL)
) AS v (device_id, direction, message_type, payload, body, age, sent_age);
INSERT INTO mqtt.mqtt_messages (organization_id, id, integration_id, device_id, direction, topic, message_type, measured_at, position, payload)
VALUES (:'org_bob', gen_random_uuid(), :'bob_hosted', :'bob_pump', 'incoming', 'org_bob/devices/pump/telemetry', 'telemetry', now(), 10, '{"secret": 1}');

SELECT act_as('authenticated', :'anna');
SELECT results_eq(
    'SELECT * FROM api.query_telemetry()',
    format(
        $$VALUES ('valve', '{"pressure": 1.5}'::jsonb, %1$L::timestamptz - interval '5 minutes'), ('pump', '{"temperature": 20, "humidity": 50}', %1$L::timestamptz - interval '10 minutes'),
            ('pump', '{"temperature": 22}', %1$L::timestamptz - interval '20 minutes'), ('pump', '{"value": 23.5}', %1$L::timestamptz - interval '30 minutes'),
            ('pump', '{"temperature": 30, "on": true, "text": "x"}', %1$L::timestamptz - interval '100 minutes')$$, :'hour'
    ), 'telemetry, data and sensor messages of devices, newest first'
);
SELECT is((SELECT array_agg(t::text) FROM api.query_telemetry(:'hosted') AS t), (SELECT array_agg(t::text) FROM api.query_telemetry() AS t), 'by integration');
SELECT is((SELECT array_agg(t::text) FROM api.query_telemetry(organization_id => :'org_alice') AS t), (SELECT array_agg(t::text) FROM api.query_telemetry() AS t), 'by organization');
SELECT is((SELECT count(*) FROM api.query_telemetry(:'external')), 0::bigint, 'none from another integration');
SELECT is((SELECT array_agg(DISTINCT t."deviceId") FROM api.query_telemetry(device_id => d) AS t), ARRAY['pump'], 'by device: ' || d) FROM unnest(ARRAY['pump', :'pump']) AS d;
SELECT is((SELECT count(*) FROM api.query_telemetry(device_id => 'pump', "limit" => 2)), 2::bigint, 'as many as asked for');
SELECT is((SELECT array_agg(t.metrics) FROM api.query_telemetry("limit" => 2) AS t), ARRAY['{"pressure": 1.5}', '{"temperature": 20, "humidity": 50}']::jsonb [], 'the newest');
SELECT is((SELECT count(*) FROM api.query_telemetry(since => :'hour'::timestamptz - interval '20 minutes', until => :'hour'::timestamptz - interval '10 minutes')), 1::bigint, 'from and before');
SELECT is((SELECT array_agg(t.metrics) FROM api.query_telemetry(metrics => '{humidity,pressure}') AS t), ARRAY['{"pressure": 1.5}', '{"humidity": 50}']::jsonb [], 'only the metrics named');
SELECT is((SELECT array_agg(t.metrics) FROM api.query_telemetry(metrics => '{value}') AS t), ARRAY['{"value": 23.5}']::jsonb [], 'a bare value by its name');
SELECT is((SELECT count(*) FROM api.query_telemetry(metrics => '{}')), 0::bigint, 'no metrics, no rows');
SELECT is((SELECT array_agg(t.metrics) FROM api.query_telemetry(message_types => '{status}') AS t), ARRAY['{"temperature": 99}']::jsonb [], 'other message types');
SELECT results_eq(
    format($$SELECT * FROM api.query_telemetry(device_id => 'pump', bucket => '1 hour', since => %L, metrics => '{temperature,on}')$$, :'hour'::timestamptz - interval '1 day'),
    format(
        $$VALUES ('pump', '{"temperature": {"avg": 21, "min": 20, "max": 22, "count": 2}}'::jsonb, %1$L::timestamptz - interval '1 hour'),
            ('pump', '{"temperature": {"avg": 30, "min": 30, "max": 30, "count": 1}}', %1$L::timestamptz - interval '2 hours')$$, :'hour'
    ), 'by the hour, by the device''s own time, numbers only'
);
SELECT is((SELECT array_agg(t."deviceId") FROM api.query_telemetry(bucket => '1 hour', "limit" => 2) AS t), '{pump,valve}', 'a row for each device and hour');
SELECT is((SELECT count(*) FROM api.query_telemetry(bucket => '3600', since => :'hour'::timestamptz - interval '1 day', "limit" => 1)), 1::bigint, 'a bucket in seconds');
SELECT refuses(format('SELECT * FROM api.query_telemetry(%s)', a.argument), a.code, a.slug, a.argument)
FROM (VALUES
    ('"limit" => 0', 'PT400', 'limit_invalid'), ('"limit" => 10001', 'PT400', 'limit_invalid'), ('"limit" => NULL', 'PT400', 'limit_invalid'),
    ('bucket => ''0''', 'PT400', 'bucket_invalid'), ('bucket => ''-1 hour''', 'PT400', 'bucket_invalid'),
    ('bucket => ''1 month''', 'PT400', 'bucket_invalid'), ('bucket => ''1 year''', 'PT400', 'bucket_invalid'), ('bucket => ''1000000000 days''', 'PT400', 'bucket_invalid'),
    ('''22222222-0000-4000-8000-000000000010''', 'PT404', 'integration_not_found'),
    ('organization_id => ''22222222-0000-4000-8000-000000000001''', 'PT404', 'organization_not_found'),
    ('device_id => ''22222222-0000-4000-8000-000000000030''', 'PT404', 'device_not_found'), ('device_id => ''nothing''', 'PT404', 'device_not_found')
) AS a (argument, code, slug);
SELECT lives_ok(format('SELECT * FROM api.query_telemetry(%s)', a), a)
FROM unnest(ARRAY[
    'since => ''-infinity''', 'until => ''infinity''', 'since => ''infinity''',
    'bucket => ''366 days'', "limit" => 10000', 'until => ''-infinity'', bucket => ''1 day''', 'since => ''-infinity'', bucket => ''1 microsecond'''
]) AS a;
SELECT results_eq(
    $$SELECT * FROM api.query_telemetry(external_id => 'pump')$$, $$SELECT * FROM api.query_telemetry(device_id => 'pump')$$, 'a device by external_id'
);
SELECT refuses($$SELECT * FROM api.query_telemetry(device_id => 'pump', external_id => 'valve')$$, 'PT400', 'argument_conflict', 'two devices');
SELECT act_as('authenticated', :'nobody');
SELECT is((SELECT count(*) FROM api.query_telemetry()), 0::bigint, 'a stranger sees nothing');
SELECT act_as('service_role');
SELECT is((SELECT count(*) FROM api.query_telemetry(:'bob_hosted')), 1::bigint, 'service_role sees all');

-- A device whose integration names no message type: all it sends is telemetry.
SELECT act_as('none');
UPDATE mqtt.device_integrations SET settings = '{"topic_pattern": "{organization_prefix}/devices/{device_id}"}' WHERE id = :'hosted';
SELECT act_as('authenticated', :'anna');
SELECT is((SELECT count(*) FROM api.query_telemetry(device_id => 'pump')), 5::bigint, 'without a message type in the pattern all of a device''s messages count');
SELECT * FROM finish();
ROLLBACK;

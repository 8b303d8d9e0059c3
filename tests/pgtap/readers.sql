-- Logins of tools that speak SQL: what mqtt.grant_reader opens in schema readings, and that nothing a session may set opens more.
\ir setup.psql
\ir ../../packaging/restrict-public.sql
SELECT plan(36);
CREATE ROLE topicbase_test_reader LOGIN;
CREATE ROLE topicbase_test_stranger LOGIN;
CREATE ROLE topicbase_test_group NOLOGIN;
UPDATE mqtt.devices SET latest = jsonb_build_object('temperature', jsonb_build_object('value', CASE organization_id WHEN :'org_alice' THEN 21.5 ELSE 99 END, 'at', '2026-11-01T00:03:00Z')),
    last_data = '{"humidity": 40}', last_data_at = '2026-11-01T00:04:00Z', is_data_latest = true;
INSERT INTO mqtt.mqtt_messages (organization_id, integration_id, device_id, topic, message_type, payload, received_at, position)
SELECT o.id, o.integration_id, o.device_id, o.prefix || '/devices/pump/telemetry', 'telemetry', jsonb_build_object('temperature', o.base + i.n, 'state', 'on', 'nested', jsonb_build_object('power', 10 * i.n)),
    '2026-11-01T00:00:00Z'::timestamptz + i.n * interval '1 minute', i.n
FROM (VALUES
    (:'org_alice'::uuid, :'hosted'::uuid, :'pump'::uuid, 'org_alice', 20), (:'org_bob'::uuid, :'bob_hosted'::uuid, :'bob_pump'::uuid, 'org_bob', 90)
) AS o (id, integration_id, device_id, prefix, base)
CROSS JOIN generate_series(0, 3) AS i (n);
-- What some devices send for no reading: the greatest double. Their sum has none.
INSERT INTO mqtt.mqtt_messages (organization_id, integration_id, device_id, topic, message_type, payload, received_at, position)
SELECT :'org_alice', :'hosted', :'pump', 'org_alice/devices/pump/telemetry', 'telemetry', '{"far": 1.7976931348623157e308}', '2026-11-01T01:00:00Z'::timestamptz + i.n * interval '1 minute', 10 + i.n
FROM generate_series(0, 1) AS i (n);

SELECT throws_ok($$SELECT mqtt.grant_reader('authenticated', NULL)$$, 'PT400', 'role_invalid', 'not a role that every caller of the API becomes');
SELECT throws_ok($$SELECT mqtt.grant_reader('topicbase_test_group', NULL)$$, 'PT400', 'role_invalid', 'a role that cannot log in would read nothing');
SELECT throws_ok($$SELECT mqtt.grant_reader('no_such_role', NULL)$$, 'PT400', 'role_invalid', 'no such role');
SELECT throws_ok(format('SELECT mqtt.grant_reader(%L, %L)', 'topicbase_test_reader', :'unknown'), 'PT404', 'organization_not_found', 'no such organization');
SELECT lives_ok(format('SELECT mqtt.grant_reader(%L, %L)', 'topicbase_test_reader', :'org_alice'), 'granted');
SELECT lives_ok(format('SELECT mqtt.grant_reader(%L, %L)', 'topicbase_test_reader', :'org_alice'), 'granted once more');

-- As where the operator has not taken it from PUBLIC: what a function of one's own sees is tried below.
SELECT format('GRANT TEMPORARY ON DATABASE %I TO PUBLIC', current_database()) \gexec
SET SESSION AUTHORIZATION topicbase_test_reader;
SELECT results_eq('SELECT device_id FROM readings.devices', ARRAY[:'pump'::uuid], 'the devices of its organization');
SELECT results_eq($$SELECT device, metric, value, date_part('minute', at) FROM readings.latest ORDER BY metric$$, $$VALUES ('pump', 'humidity', 40::double precision, 4::double precision), ('pump', 'temperature', 21.5, 3)$$, 'their latest values');
SELECT results_eq(
    $$SELECT metric, value, raw FROM readings.metrics('{pump}', NULL, '2026-11-01T00:03:00Z', '2026-11-01T00:04:00Z')$$,
    $$VALUES ('nested.power', 30::double precision, '30'::jsonb), ('state', NULL, '"on"'), ('temperature', 23, '23')$$, 'each value that they measured'
);
SELECT results_eq($$SELECT count(*) FROM readings.metrics(NULL, NULL, '2026-11-01', '2026-11-01T01:00:00Z')$$, ARRAY[12::bigint], 'of none other');
SELECT results_eq(
    $$SELECT topic, payload ->> 'temperature' FROM readings.messages(NULL, '2026-11-01T00:01:00Z', '2026-11-01T00:03:00Z')$$,
    $$VALUES ('org_alice/devices/pump/telemetry', '21'), ('org_alice/devices/pump/telemetry', '22')$$, 'their messages'
);
SELECT is_empty(format('SELECT * FROM readings.messages(ARRAY[%L], %L, %L)', :'bob_pump', '2026-11-01', '2026-11-02'), 'none of another''s device');
SELECT throws_ok($$SELECT * FROM readings.messages(NULL, NULL, now())$$, 'PT400', 'range_invalid', 'messages without a start');
SELECT results_eq(
    $$SELECT at, device, metric, avg, min, max, sum, count, first, last, delta
    FROM readings.series('{pump}', '{temperature}', '2026-11-01T00:00:00Z', '2026-11-01T00:04:00Z', '2 minutes')$$,
    $$VALUES ('2026-11-01T00:00:00Z'::timestamptz, 'pump', 'temperature', 20.5::double precision, 20::double precision, 21::double precision, 41::double precision,
            2::bigint, 20::double precision, 21::double precision, 1::double precision),
        ('2026-11-01T00:02:00Z', 'pump', 'temperature', 22.5, 22, 23, 45, 2, 22, 23, 2)$$, 'a series'
);
SELECT results_eq(
    $$SELECT avg = max, sum, count, delta FROM readings.series('{pump}', '{far}', '2026-11-01T01:00:00Z', '2026-11-01T02:00:00Z', '1 hour')$$,
    $$VALUES (true, NULL::double precision, 2::bigint, 0::double precision)$$, 'a sum that no double is'
);
SELECT results_eq(
    format('SELECT count(DISTINCT device_id) FROM readings.series(NULL, NULL, %L, %L, %L)', '2026-11-01T00:00:00Z', '2026-11-01T00:04:00Z', '1 minute'), ARRAY[1::bigint],
    'without names, all that it reads'
);
SELECT is_empty(
    format('SELECT * FROM readings.series(ARRAY[%L], NULL, %L, %L)', :'bob_pump', '2026-11-01T00:00:00Z', '2026-11-01T00:04:00Z'), 'another''s device by its id'
);
SELECT throws_ok($$SELECT * FROM readings.series('{pump}', NULL, now(), now() - interval '1 hour')$$, 'PT400', 'range_invalid', 'a range that ends before it begins');
SELECT throws_ok($$SELECT * FROM readings.series('{pump}', NULL, NULL, now())$$, 'PT400', 'range_invalid', 'a range without a start');
SELECT throws_ok($$SELECT * FROM readings.series('{pump}', NULL, now() - interval '1 hour', now(), '0')$$, 'PT400', 'bucket_invalid', 'no bucket');
SELECT throws_ok($$SELECT * FROM readings.series('{pump}', NULL, now() - interval '1 year', now(), '1 second')$$, 'PT413', 'too_many_points', 'more points than a chart has');

-- What a session may set or try.
SELECT set_config('request.jwt.claims', jsonb_build_object('role', 'service_role', 'sub', :'bob')::text, true) IS NOT NULL AS said \gset
SELECT results_eq('SELECT device_id FROM readings.devices', ARRAY[:'pump'::uuid], 'claims of another organization''s admin');
SELECT throws_ok('SET ROLE authenticated', '42501', NULL, 'another role');
SELECT throws_ok('SELECT * FROM mqtt.devices', '42501', NULL, 'the tables');
SELECT throws_ok('SELECT * FROM api.devices', '42501', NULL, 'the API');
SELECT throws_ok($$SELECT mqtt.grant_reader('topicbase_test_reader', '22222222-0000-4000-8000-000000000001')$$, '42501', NULL, 'a grant to itself');
CREATE TEMPORARY TABLE seen (device uuid);
CREATE FUNCTION pg_temp.leak(id uuid) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $$ BEGIN INSERT INTO seen VALUES (id); RETURN true; END; $$;
SELECT results_eq('SELECT device_id FROM readings.devices WHERE pg_temp.leak(device_id)', ARRAY[:'pump'::uuid], 'a function of its own in the condition');
SELECT results_eq('SELECT device FROM seen', ARRAY[:'pump'::uuid], 'sees no row more');
DROP FUNCTION pg_temp.leak(uuid);
DROP TABLE seen;
RESET SESSION AUTHORIZATION;

SET SESSION AUTHORIZATION topicbase_test_reader;
SELECT results_eq(
    $$SELECT count(*) FROM readings.metrics('{pump}', '{temperature,temperature,NULL}', '2026-11-01T00:00:00Z', '2026-11-01T00:04:00Z')$$, ARRAY[4::bigint],
    'each value once, however often its metric is named'
);
SELECT results_eq(
    $$SELECT sum, count FROM readings.series('{pump}', '{temperature,temperature,NULL}', '2026-11-01T00:00:00Z', '2026-11-01T00:04:00Z', '1 hour')$$,
    $$VALUES (86::double precision, 4::bigint)$$, 'also in a series'
);
RESET SESSION AUTHORIZATION;

-- A payload rule calculates, and what comes of it may be no double.
INSERT INTO mqtt.payload_rules (organization_id, integration_id, position, topic, device, metrics)
VALUES (:'org_alice', :'hosted', 10, 'org_alice/far', 'pump', '{"product": "$.a * $.a", "rest": "$.b * $.b"}');
SELECT mqtt.count_accepted(:'org_alice', 1);
INSERT INTO pgmq.q_mqtt_messages (vt, message, organization_id, integration_id)
VALUES (clock_timestamp(), '{"topic": "org_alice/far", "payload": {"a": 1e300, "b": 1e-300}}', :'org_alice', :'hosted');
SELECT mqtt.process_batch(10);
SET SESSION AUTHORIZATION topicbase_test_reader;
SELECT results_eq(
    $$SELECT metric, value, raw::numeric > 0 FROM readings.latest WHERE metric IN ('product', 'rest', 'temperature') ORDER BY metric$$,
    $$VALUES ('product', NULL::double precision, true), ('rest', 0, true), ('temperature', 21.5, true)$$, 'latest values that no double is cost no others'
);
SELECT results_eq(
    $$SELECT metric, value, raw::numeric > 0 FROM readings.metrics('{pump}', '{product,rest}', now() - interval '1 hour', now() + interval '1 hour') ORDER BY metric$$,
    $$VALUES ('product', NULL::double precision, true), ('rest', 0, true)$$, 'nor do values that were measured'
);
RESET SESSION AUTHORIZATION;

SET SESSION AUTHORIZATION topicbase_test_stranger;
SELECT throws_ok('SELECT * FROM readings.devices', '42501', NULL, 'without a grant nothing');
RESET SESSION AUTHORIZATION;

SELECT lives_ok(format('SELECT mqtt.revoke_reader(%L, %L)', 'topicbase_test_reader', :'org_alice'), 'taken back');
SELECT ok(NOT pg_has_role('topicbase_test_reader', 'topicbase_reader', 'member'), 'with the last organization also the role');
SELECT lives_ok('DROP ROLE topicbase_test_reader', 'so that the login can be dropped');
SELECT * FROM finish();
ROLLBACK;

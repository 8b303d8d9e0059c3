-- api.query_telemetry: filters, buckets, each documented error and isolation.
\ir setup.psql
SELECT plan(92);
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
    'SELECT t."deviceId", t.metrics, t.timestamp FROM api.query_telemetry() AS t',
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
    format($$SELECT t."deviceId", t.metrics, t.timestamp FROM api.query_telemetry(device_id => 'pump', bucket => '1 hour', since => %L, metrics => '{temperature,on}') AS t$$, :'hour'::timestamptz - interval '1 day'),
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
    ('bucket => ''1 month 1 day''', 'PT400', 'bucket_invalid'), ('bucket => ''-1 month 40 days''', 'PT400', 'bucket_invalid'), ('bucket => ''13 months''', 'PT400', 'bucket_invalid'), ('bucket => ''1000000000 days''', 'PT400', 'bucket_invalid'),
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

-- What a message's type was when it was stored is not changed by another pattern.
SELECT act_as('none');
UPDATE mqtt.device_integrations SET settings = '{"topic_pattern": "{organization_prefix}/devices/{device_id}"}' WHERE id = :'hosted';
INSERT INTO mqtt.mqtt_messages (organization_id, id, integration_id, device_id, direction, topic, measured_at, position, payload)
VALUES (:'org_alice', gen_random_uuid(), :'hosted', :'pump', 'incoming', 'org_alice/devices/pump', now() - interval '3 days', 11, '{"temperature": 1}');
SELECT act_as('authenticated', :'anna');
SELECT is((SELECT count(*) FROM api.query_telemetry(device_id => 'pump')), 5::bigint, 'what came before remains, and what has no type is telemetry');
SELECT is((SELECT t.timestamp FROM api.query_telemetry(device_id => 'pump', until => now() - interval '2 days') AS t), now() - interval '3 days', 'the range is of when it was measured');
SELECT is((SELECT count(*) FROM api.query_telemetry(device_id => 'pump', until => now() - interval '2 days', "time" => 'received')), 0::bigint, 'or of when it was received');
SELECT is((SELECT t.timestamp FROM api.query_telemetry(device_id => 'pump', "limit" => 1, "time" => 'received') AS t), now(), 'and so is the order');

-- Ties: the order of acceptance decides, and a cursor goes on at its place.
SELECT act_as('none');
DELETE FROM mqtt.mqtt_messages WHERE message_type IS NULL;
INSERT INTO mqtt.mqtt_messages (organization_id, id, integration_id, device_id, direction, topic, message_type, received_at, measured_at, position, payload)
SELECT :'org_alice', gen_random_uuid(), :'hosted', d.id::uuid, 'incoming', 'org_alice/devices/x/telemetry', 'tied', now(), now() - interval '1 hour', n, to_jsonb(n)
FROM (VALUES (0, :'pump'), (1, '11111111-0000-4000-8000-000000000031')) AS d (odd, id)
INNER JOIN generate_series(1000, 1999) AS n ON n % 2 = d.odd;
CREATE FUNCTION tap.pages(size integer, arguments text) RETURNS integer []
LANGUAGE plpgsql AS $$
DECLARE
    v_cursor text;
    v_all integer [] := '{}';
    v_page integer [];
BEGIN
    LOOP
        EXECUTE format(
            'SELECT array_agg((t.metrics -> ''value'')::integer), (array_agg(t.cursor))[count(*)] '
            'FROM api.query_telemetry(message_types => ''{tied}'', "limit" => %s, cursor => %L, %s) AS t', size, v_cursor, arguments
        ) INTO v_page, v_cursor;
        EXIT WHEN v_page IS NULL;
        v_all := v_all || v_page;
    END LOOP;
    RETURN v_all;
END;
$$;
GRANT EXECUTE ON FUNCTION tap.pages(integer, text) TO public;
SELECT act_as('authenticated', :'anna');
SELECT ok(pages(a.size, a.arguments) = ARRAY(SELECT generate_series(1999, 1000, -1)), format('each once, in order, by pages of %s: %s', a.size, a.arguments))
FROM (VALUES
    (100, '"time" => ''measured'''), (333, '"time" => ''received'''), (1000, 'organization_id => ''' || :'org_alice' || ''''), (77, 'device_ids => ''{pump,valve}''')
) AS a (size, arguments);
SELECT ok(pages(90, 'device_id => ''pump'', "time" => ' || quote_literal(t)) = ARRAY(SELECT generate_series(1998, 1000, -2)), 'of one device, by when it was ' || t)
FROM unnest('{measured,received}'::text []) AS t;
SELECT is(
    (SELECT array_agg((t.metrics -> 'value' -> 'count')::text ORDER BY t."deviceId") FROM api.query_telemetry(bucket => '1 day', message_types => '{tied}') AS t), '{500,500}', 'each is counted once'
);
SELECT act_as('authenticated', :'bob');
SELECT is(pages(100, 'integration_id => ''' || :'bob_hosted' || ''''), '{}', 'not by another organization');

-- Buckets: calendar, aggregates, nested members, numbers in strings, pages.
SELECT act_as('none');
INSERT INTO mqtt.mqtt_messages (organization_id, id, integration_id, device_id, direction, topic, message_type, received_at, measured_at, position, payload)
SELECT :'org_alice', gen_random_uuid(), :'hosted', d.id::uuid, 'incoming', 'org_alice/devices/x/meter', 'meter', v.at, v.at, row_number() OVER (), v.payload::jsonb
FROM (VALUES
    ('2030-01-27 23:30:00+00'::timestamptz, '{"ENERGY": {"Power": "100", "Total": 5, "deep": {"a": {"b": 1}}}, "state": "ON"}'),
    ('2030-01-28 10:00:00+00', '{"ENERGY": {"Power": 150.5, "Total": 8}}'),
    ('2030-02-01 00:00:00+00', '{"ENERGY": {"Power": "x", "Total": 2}}'),
    ('2030-02-28 12:00:00+00', '{"ENERGY": {"Power": "1e1", "Total": 7}}')
) AS v (at, payload)
CROSS JOIN (VALUES (:'pump'), ('11111111-0000-4000-8000-000000000031')) AS d (id);
CREATE FUNCTION tap.meter(arguments text) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    v_answer jsonb;
BEGIN
    EXECUTE 'SELECT jsonb_agg(jsonb_build_array(t.timestamp, t.metrics)) FROM api.query_telemetry(message_types => ''{meter}'', since => ''2030-01-01Z'', ' || arguments || ') AS t'
    INTO v_answer;
    RETURN v_answer;
END;
$$;
GRANT EXECUTE ON FUNCTION tap.meter(text) TO public;
SET LOCAL timezone = 'UTC';
SELECT act_as('authenticated', :'anna');
SELECT is(
    meter($$device_id => 'pump', bucket => '1 month', aggregates => '{sum,count,first,last,delta}', metrics => '{ENERGY.Total}'$$),
    '[["2030-02-01T00:00:00+00:00", {"ENERGY.Total": {"sum": 9, "count": 2, "first": 2, "last": 7, "delta": 7}}],
      ["2030-01-01T00:00:00+00:00", {"ENERGY.Total": {"sum": 13, "count": 2, "first": 5, "last": 8, "delta": 3}}]]', 'months; a counter that was reset goes on from 0'
);
SELECT is(
    meter($$device_id => 'pump', bucket => '1 month', aggregates => '{p50,p95}', metrics => '{ENERGY.Power}', "time" => 'received'$$),
    '[["2030-02-01T00:00:00+00:00", {"ENERGY.Power": {"p50": 10, "p95": 10}}], ["2030-01-01T00:00:00+00:00", {"ENERGY.Power": {"p50": 100, "p95": 150.5}}]]',
    'percentiles'
);
SELECT is(
    meter($$device_id => 'pump', bucket => '1 week', aggregates => '{count}', metrics => '{ENERGY}', until => '2030-02-01Z'$$),
    '[["2030-01-28T00:00:00+00:00", {"ENERGY.Power": {"count": 1}, "ENERGY.Total": {"count": 1}}],
      ["2030-01-21T00:00:00+00:00", {"ENERGY.Power": {"count": 1}, "ENERGY.Total": {"count": 1}}]]', 'weeks begin on Mondays; what an object has is found by path'
);
SELECT is(
    meter($$device_id => 'pump', bucket => '1 day', aggregates => '{max}', metrics => '{ENERGY.Power}', time_zone => 'Europe/Berlin'$$),
    '[["2030-02-27T23:00:00+00:00", {"ENERGY.Power": {"max": 10}}], ["2030-01-27T23:00:00+00:00", {"ENERGY.Power": {"max": 150.5}}]]', 'days by the clock of a zone; numbers in strings'
);
SELECT is(
    meter($$device_id => 'pump', "limit" => 1, metrics => '{ENERGY.Power,ENERGY.deep,state,none}', until => '2030-01-28Z'$$),
    '[["2030-01-27T23:30:00+00:00", {"ENERGY.Power": "100", "ENERGY.deep": {"a": {"b": 1}}, "state": "ON"}]]', 'members by path, under their path'
);
SELECT is((SELECT array_agg(v.metric ORDER BY v.metric) FROM mqtt.metric_values('{"a": {"b": {"c": 1, "d": {"e": 1}}, "x": []}, "y": null}', NULL) AS v), '{a.b.c,a.x,y}', 'three levels deep');
SELECT is((SELECT count(*) FROM mqtt.metric_values('{"a": {"b": 1}}', '{a,a.b}') AS v), 1::bigint, 'once, even if it is named twice');  -- noqa: AL05
SELECT is(ARRAY(SELECT mqtt.metric_number(to_jsonb(v.text)) FROM unnest(ARRAY['1', ' -1.5 ', '1e3', '1e999', '0x1', 'NaN', '', '1,5']) AS v (text)), ARRAY[1, -1.5, 1000, NULL, NULL, NULL, NULL, NULL], 'numbers in strings');  -- noqa: AL05
SELECT act_as('none');
CREATE FUNCTION tap.bucket_pages(size integer) RETURNS text []
LANGUAGE plpgsql AS $$
DECLARE
    v_cursor text;
    v_all text [] := '{}';
    v_page text [];
BEGIN
    LOOP
        SELECT array_agg(format('%s %s', t."deviceId", t.timestamp::date)), (array_agg(t.cursor))[count(*)] INTO v_page, v_cursor
        FROM api.query_telemetry(message_types => '{meter}', since => '2030-01-01Z', bucket => '1 day', "limit" => size, cursor => v_cursor) AS t;
        EXIT WHEN v_page IS NULL;
        v_all := v_all || v_page;
    END LOOP;
    RETURN v_all;
END;
$$;
GRANT EXECUTE ON FUNCTION tap.bucket_pages(integer) TO public;
SELECT act_as('authenticated', :'anna');
SELECT is(
    bucket_pages(n), '{pump 2030-02-28,valve 2030-02-28,pump 2030-02-01,valve 2030-02-01,pump 2030-01-28,valve 2030-01-28,pump 2030-01-27,valve 2030-01-27}', 'pages of buckets: ' || n
) FROM generate_series(1, 3) AS n;
SELECT is(mqtt.bucket_start(a.at::timestamptz, a.bucket::interval, a.zone), a.start::timestamptz, format('%s by %s in %s', a.at, a.bucket, a.zone))
FROM (VALUES
    ('2030-10-27 00:30Z', '1 hour', 'Europe/Berlin', '2030-10-27 00:00Z'), ('2030-10-27 01:30Z', '1 hour', 'Europe/Berlin', '2030-10-27 01:00Z'),
    ('2030-10-27 20:00Z', '1 day', 'Europe/Berlin', '2030-10-26 22:00Z'), ('2030-05-15 12:00Z', '3 months', 'UTC', '2030-04-01 00:00Z'),
    ('1999-12-31 12:00Z', '1 month', 'UTC', '1999-12-01 00:00Z'), ('2030-05-15 12:00Z', '1 year', 'UTC', '2030-01-01 00:00Z'),
    ('2030-05-15 12:10Z', '30 minutes', 'Asia/Kolkata', '2030-05-15 12:00Z'), ('2030-05-15 12:10Z', '1 hour', 'Asia/Kolkata', '2030-05-15 11:30Z'),
    ('2025-10-26 00:10Z', '2 hours', 'Europe/Berlin', '2025-10-26 00:00Z'), ('2025-10-26 01:10Z', '2 hours', 'Europe/Berlin', '2025-10-26 00:00Z'),
    ('2025-11-02 04:30Z', '1 day', 'America/Havana', '2025-11-02 04:00Z'), ('2025-11-02 12:00Z', '1 day', 'America/Havana', '2025-11-02 04:00Z'),
    ('2025-04-25 12:00Z', '1 day', 'Africa/Cairo', '2025-04-24 22:00Z')
) AS a (at, bucket, zone, start);
SELECT is_empty(
    $$SELECT z.zone, b.bucket, r.since
    FROM unnest('{UTC,Europe/Berlin,Africa/Cairo,America/Havana,America/St_Johns,Asia/Kolkata,Australia/Lord_Howe}'::text []) AS z (zone)
    CROSS JOIN unnest('{15 minutes,1 hour,90 minutes,2 hours,6 hours,1 day,1 week,1 month}'::interval []) AS b (bucket)
    -- From every hour around the days on which one of these clocks is changed.
    CROSS JOIN unnest('{2025-03-09,2025-03-30,2025-04-06,2025-04-25,2025-10-05,2025-10-26,2025-10-31,2025-11-02}'::date []) AS d (day)
    CROSS JOIN LATERAL generate_series(d.day - interval '10 hours', d.day + interval '20 hours', '1 hour') AS s (at)
    CROSS JOIN LATERAL (SELECT s.at AT TIME ZONE 'UTC' AS since, s.at AT TIME ZONE 'UTC' + interval '8 hours' AS until) AS r
    CROSS JOIN LATERAL (
        SELECT array_agg(DISTINCT y.start ORDER BY y.start) AS starts, bool_or(y.start > y.at) AS is_after
        FROM (
            SELECT g.at, mqtt.bucket_start(g.at, b.bucket, z.zone) AS start
            FROM generate_series(r.since, r.until - interval '15 minutes', '15 minutes') AS g (at)
        ) AS y
    ) AS e
    WHERE e.is_after OR e.starts IS DISTINCT FROM ARRAY(SELECT x.at FROM mqtt.bucket_starts(r.since, r.until, b.bucket, z.zone) AS x (at) ORDER BY 1)$$,
    'whenever a range begins, charts have the spans that its times are in, which begin no later than these'
);
SELECT refuses(format('SELECT * FROM api.query_telemetry(%s)', a.argument), 'PT400', a.slug, a.argument)
FROM (VALUES
    ('cursor => ''x''', 'cursor_invalid'), ('cursor => repeat(''f'', 64)', 'cursor_invalid'), ('"time" => ''sent''', 'time_invalid'), ('"time" => NULL', 'time_invalid'),
    ('time_zone => ''Europe/Nowhere''', 'time_zone_invalid'), ('time_zone => ''UTC+1''', 'time_zone_invalid'), ('time_zone => NULL', 'time_zone_invalid'),
    ('aggregates => ''{median}''', 'aggregates_invalid'), ('aggregates => ''{}''', 'aggregates_invalid'), ('aggregates => NULL', 'aggregates_invalid'),
    ('device_ids => array_fill(''x''::text, ARRAY[1001])', 'limit_invalid')
) AS a (argument, slug);
SELECT refuses($$SELECT * FROM api.query_telemetry(device_ids => '{pump,nothing}')$$, 'PT404', 'device_not_found', 'one of several devices is not there');
SELECT is((SELECT count(*) FROM api.query_telemetry(device_ids => '{}')), 0::bigint, 'of no device, nothing');
-- What a page costs does not grow with what there is.
RESET ROLE;
INSERT INTO mqtt.mqtt_messages (organization_id, id, integration_id, device_id, direction, topic, message_type, received_at, measured_at, position, payload)
SELECT
    :'org_alice', gen_random_uuid(), :'hosted', '11111111-0000-4000-8000-000000000031', 'incoming', 'org_alice/devices/x/telemetry', 'telemetry',
    t.at, t.at, 1000 + t.n, jsonb_build_object('n', t.n)
FROM generate_series(:'hour'::timestamptz - interval '3 hours' + interval '5 seconds', :'hour'::timestamptz - interval '55 minutes', '5 seconds')
    WITH ORDINALITY AS t (at, n);
CREATE FUNCTION pg_temp.rows_read() RETURNS bigint LANGUAGE sql AS $$
    SELECT sum(pg_stat_get_xact_tuples_returned(i.inhrelid)) FILTER (WHERE k.is_first) + sum(pg_stat_get_xact_tuples_fetched(k.indexrelid))
    FROM pg_inherits AS i
    INNER JOIN (SELECT x.indrelid, x.indexrelid, row_number() OVER (PARTITION BY x.indrelid) = 1 AS is_first FROM pg_index AS x) AS k ON k.indrelid = i.inhrelid
    WHERE i.inhparent = 'mqtt.history'::regclass
$$;
SELECT act_as('authenticated', :'anna');
SELECT pg_temp.rows_read() AS before \gset
SELECT is(
    (SELECT array_agg(t.metrics -> 'n') FROM api.query_telemetry(device_id => 'valve', until => :'hour'::timestamptz - interval '1 hour', "limit" => 3) AS t),
    ARRAY['1439', '1438', '1437']::jsonb [], 'the newest of many before a time'
);
SELECT cmp_ok(pg_temp.rows_read() - :before, '<', 50::bigint, 'are found without reading the others');
SELECT is(
    (SELECT count(*) FROM api.query_telemetry(device_id => 'valve', metrics => '{pressure}')), 1::bigint, 'and what few of them have, with all read'
);
SELECT * FROM finish();
ROLLBACK;

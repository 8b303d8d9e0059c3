-- api.list_messages: filters, order, cursors, ids, plans, each documented error and isolation.
\ir setup.psql
SELECT plan(46);
SELECT is(
    (SELECT count(*) FROM pg_proc AS p WHERE p.proname = 'list_messages' AND has_function_privilege(r.role, p.oid, 'execute')), r.may::integer::bigint, r.role || ' may call it or not'
) FROM (VALUES ('anon', false), ('authenticated', true), ('service_role', true)) AS r (role, may);
-- Ten at each time, over forty days, both directions, of two integrations, with ids in random order.
INSERT INTO mqtt.mqtt_messages (organization_id, id, integration_id, device_id, direction, topic, message_type, received_at, measured_at, position, payload)
SELECT
    :'org_alice', gen_random_uuid(), CASE n % 3 WHEN 0 THEN :'external'::uuid ELSE :'hosted' END, CASE n % 3 WHEN 1 THEN :'pump'::uuid END,
    (CASE n % 2 WHEN 0 THEN 'incoming' ELSE 'outgoing' END)::mqtt.message_direction, format('org_alice/devices/d%s/%s', n % 7, CASE n % 2 WHEN 0 THEN 'telemetry' ELSE 'commands' END), 'x',
    now() - make_interval(days => 40 - n / 10), now() - make_interval(days => 40 - n / 10), n, to_jsonb(n)
FROM generate_series(1, 400) AS n;
INSERT INTO mqtt.mqtt_messages (organization_id, id, integration_id, direction, topic, received_at, sent_at, measured_at, position, payload, body)
VALUES
    (:'org_bob', mqtt.message_id(now(), 7), :'bob_hosted', 'incoming', 'org_bob/x', now(), NULL, now(), 7, '7777', NULL),
    (:'org_alice', '11111111-0000-4000-8000-0000000000ff', :'hosted', 'incoming', 'org_alice/late', now() - interval '50 days', '2001-01-01Z', now() - interval '50 days', 8, 'null', '\x00ff');
UPDATE mqtt.history SET id = mqtt.message_id(received_at, position), flags = flags & ~16 WHERE position IN (123, 400) AND organization = (SELECT number FROM mqtt.organizations WHERE id = :'org_alice');
SELECT mqtt.message_id(now() - interval '28 days', 123) AS id_123, mqtt.message_id(now(), 400) AS id_400, mqtt.message_id(now(), 7) AS id_7 \gset
CREATE FUNCTION tap.numbers(arguments text) RETURNS integer []
LANGUAGE plpgsql AS $$
DECLARE
    v_numbers integer [];
BEGIN
    EXECUTE 'SELECT array_agg((m.payload #>> ''{}'')::integer) FROM api.list_messages(' || arguments || ') AS m' INTO v_numbers;
    RETURN v_numbers;
END;
$$;
CREATE FUNCTION tap.pages(size integer, arguments text) RETURNS integer []
LANGUAGE plpgsql AS $$
DECLARE
    v_cursor text;
    v_all integer [] := '{}';
    v_page integer [];
BEGIN
    LOOP
        EXECUTE format(
            'SELECT array_agg((m.payload #>> ''{}'')::integer), (array_agg(m.cursor))[count(*)] FROM api.list_messages("limit" => %s, cursor => %L, %s) AS m', size, v_cursor, arguments
        ) INTO v_page, v_cursor;
        EXIT WHEN v_page IS NULL;
        v_all := v_all || v_page;
    END LOOP;
    RETURN v_all;
END;
$$;
GRANT EXECUTE ON FUNCTION tap.numbers(text), tap.pages(integer, text) TO public;

SELECT act_as('authenticated', :'anna');
SELECT is(numbers('"limit" => 12'), ARRAY(SELECT generate_series(400, 389, -1)), 'the newest first, by the order of acceptance');
SELECT is(numbers('page_size => 3'), '{400,399,398}', 'page_size is limit');
SELECT is(numbers('oldest_first => true, "limit" => 4'), '{NULL,1,2,3}', 'or the oldest');
SELECT ok(pages(a.size, a.arguments) = a.numbers, format('pages of %s: %s', a.size, a.arguments))
FROM (
    SELECT x.size, x.arguments, ARRAY(
        SELECT n FROM generate_series(400, 1, -1) AS n WHERE (x.rest IS NULL OR n % 3 <> x.rest) AND (x.parity IS NULL OR n % 2 = x.parity) ORDER BY CASE WHEN x.forward THEN n ELSE -n END
    ) AS numbers
    FROM (VALUES
        (7, 'filter => ''org_alice/devices/#''', NULL, NULL, false), (100, 'organization_id => ''' || :'org_alice' || ''', filter => ''+/devices/+/+''', NULL, NULL, false),
        (13, 'integration_id => ''' || :'hosted' || ''', filter => ''+/devices/#''', 0, NULL, false), (30, 'direction => ''incoming'', filter => ''+/devices/#''', NULL, 0, false),
        (9, 'oldest_first => true, since => now() - interval ''45 days''', NULL, NULL, true), (1000, 'oldest_first => true, filter => ''+/devices/#''', NULL, NULL, true),
        (9, 'oldest_first => true, direction => ''outgoing''', NULL, 1, true)
    ) AS x (size, arguments, rest, parity, forward)
) AS a;
SELECT is(numbers(format('device_id => %L, "limit" => 2', d)), '{400,397}', 'of a device: ' || d) FROM unnest(ARRAY['pump', :'pump']) AS d;
SELECT is(numbers('integration_id => ''' || :'external' || ''', "limit" => 2'), '{399,396}', 'of an integration');
SELECT is(numbers('topic => ''org_alice/devices/d1/commands'', "limit" => 2'), '{393,379}', 'of a topic');
SELECT is(numbers('filter => ''org_alice/+/d1/#'', "limit" => 3'), '{400,393,386}', 'of a filter');
SELECT is(numbers('filter => ''#'', since => now() - interval ''1 day'', until => now()'), '{399,398,397,396,395,394,393,392,391,390}', 'from and before');
SELECT is(numbers('until => now() - interval ''39 days'', topic => ''org_alice/late'''), '{NULL}', 'a sparse topic, far back');
SELECT is(numbers('stored_since => now() + interval ''1 hour'''), NULL, 'by when it was stored');
SELECT is(numbers('since => ''infinity'''), NULL, 'after all times');
SELECT is(numbers('until => ''-infinity'''), NULL, 'before all times');
SELECT is(numbers('oldest_first => true, since => ''infinity'''), NULL, 'after all times, forwards');
SELECT is(numbers(format('id => %L', :'id_123')), '{123}', 'by an id that holds its time');
SELECT is(numbers(format('id => %L', :'id_400')), '{400}', 'the newest by its id');
SELECT is(
    (SELECT to_jsonb(m) - 'cursor' FROM api.list_messages(id => '11111111-0000-4000-8000-0000000000ff') AS m),
    (SELECT to_jsonb(m) FROM api.mqtt_messages AS m WHERE m.id = '11111111-0000-4000-8000-0000000000ff'), 'by an id of a client''s; as the view has it'
);
SELECT ok((SELECT m.timestamp_ignored FROM api.list_messages(id => '11111111-0000-4000-8000-0000000000ff') AS m), 'a time that is not plausible is marked');
SELECT is((SELECT count(*) FROM api.list_messages(id => :'id_7')), 0::bigint, 'not another organization''s');
SELECT refuses(format('SELECT * FROM api.list_messages(%s)', a.argument), a.code, a.slug, a.argument)
FROM (VALUES
    ('"limit" => 0', 'PT400', 'limit_invalid'), ('page_size => 1001', 'PT400', 'limit_invalid'), ('"limit" => NULL', 'PT400', 'limit_invalid'), ('cursor => ''x''', 'PT400', 'cursor_invalid'),
    ('direction => ''in''', 'PT400', 'direction_invalid'), ('filter => ''a+/b''', 'PT400', 'topic_invalid'), ('topic => ''a'', filter => ''a''', 'PT400', 'argument_conflict'),
    ('organization_id => ''22222222-0000-4000-8000-000000000001''', 'PT404', 'organization_not_found'), ('integration_id => ''22222222-0000-4000-8000-000000000010''', 'PT404', 'integration_not_found'),
    ('device_id => ''22222222-0000-4000-8000-000000000030''', 'PT404', 'device_not_found')
) AS a (argument, code, slug);

-- The cursor of another organization's message tells nothing, and is of no harm.
SELECT act_as('service_role');
SELECT m.cursor AS bobs FROM api.list_messages(organization_id => :'org_bob') AS m \gset
SELECT ok(numbers('"limit" => 1000') @> '{1,400}', 'service_role sees all');
SELECT act_as('authenticated', :'anna');
SELECT is(numbers(format('cursor => %L, "limit" => 1', :'bobs')), '{399}', 'from its time on');
SELECT act_as('authenticated', :'nobody');
SELECT is(numbers('"limit" => 1'), NULL, 'a stranger sees nothing');

-- By their indexes, also without a hint of the caller's.
SELECT act_as('none');
ANALYZE mqtt.history;
SET LOCAL enable_seqscan = off;
SET LOCAL enable_bitmapscan = off;
SET LOCAL enable_sort = off;
CREATE FUNCTION pg_temp.plan(request mqtt.message_request) RETURNS text
LANGUAGE sql AS $$
    SELECT tap.plan_of(replace(replace(replace(replace(
        mqtt.messages_sql(request, false, false), '$1', format('%L::mqtt.message_request', request)), '$2', 'now() - interval ''1 hour'''), '$3', 'now()'), '$4', '10'
    ));
$$;
SELECT act_as('authenticated', :'anna');
SELECT unnest(ARRAY[matches(a.plan, 'Index (Only )?Scan (Backward )?using history_\w+_' || a.index, a.index), doesnt_match(a.plan, 'Seq Scan on mqtt\.history', 'nothing is read as a whole')])
FROM (VALUES
    (pg_temp.plan(ROW(ARRAY[1, 2], NULL, false, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, false, 1, NULL)), 'received_at_organization'),
    (pg_temp.plan(ROW(ARRAY[1, 2], ARRAY[1, 2], true, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, false, 1, NULL)), 'received_at_organization')
) AS a (plan, index);
SELECT * FROM finish();
ROLLBACK;

-- Payload rules: what may be written, and what they make of messages.
\ir setup.psql
SELECT plan(125);

-- Paths: what is bounded by the payload's size, and never fails.
SELECT is(mqtt.path_reason(p), NULL, p || ' is a path')
FROM unnest(ARRAY[
    '$', '$.a', '$."switch:0".apower / 10', '$[*] ? (@.type != "x")', '$.a == 1 && exists($.b[*] ? (@.c > 3))', '"offline"', '$root.a + $parent.b',
    '$.** ? (@.x == "a")', '$.a like_regex "^x+$"', '$.a like_regex "^(?:a|b){1,20}\\d{2,4}$"', '$.a like_regex "^[A-Z0-9]{1,64}$"',
    '$.a like_regex "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"', '$.a like_regex "^\\w+( \\w+)*@[^@]{1,255}$"', '$.a starts with "b"', '$[0 to 3]', '($.a + 3) * -1', '$."a\"b" == "c"', '3 < $.a'
]) AS p;
SELECT isnt(mqtt.path_reason(p), NULL, left(p, 40) || ' is none')
FROM unnest(ARRAY[
    '', '$.', '$.a ==', '$..a', '$.a == $.b', '$[*] ? (@.x == $.y)', '$.**.**', '$[0, 1]', '$.a.datetime()', '$x', '$"x"', '$."a" == $.b', '$.a1 == $.b',
    '$.a == /* " */ $.b /* " */', '$.a like_regex "(a)\\1"', '$.a like_regex "(a)\x5c1"', '$.a like_regex "(a)\u{5c}1"',
    '$.a like_regex "(?=a*b)c"', '$.a like_regex "(\u003f=a*b)c"', '$.a like_regex "((a{1,40}){1,40}){2}"', '$.a like_regex "(a?b?c?d?e?f?g?h?i?j?k?l?m?n?){50}"',
    '$.a like_regex "(((a?){9}){9}){9}"', '$.a like_regex "' || (SELECT string_agg(chr(c), '') FROM generate_series(20000, 20137) AS c) || '([^x]{31}){32}"',
    '$.a like_regex "(' || (SELECT string_agg('[^' || chr(c) || ']*', '') FROM generate_series(20000, 20050) AS c) || ')*"', '$.a like_regex "(' || repeat('.?', 200) || ')*"', '$[*] ? (exists($.a))', '$.a ? (@ >= $root.b)', '$.' || repeat('a', 500)
]) AS p;
SELECT ok(mqtt.path_reason('$.a ==') LIKE 'is not an SQL/JSON path: syntax error%', 'a path''s fault is told with its place');

-- Templates.
SELECT is(mqtt.template_reason(t), NULL, t || ' is a template')
FROM unnest(ARRAY['{topic[2]}', 'a/{topic[2:-1]}', '{$.a | $.b}{login}', '{$."a}b"}', '{topic[-1]}', 'plain']) AS t;
SELECT isnt(mqtt.template_reason(t), NULL, t || ' is none')
FROM unnest(ARRAY['', '{', '}', '{topic}', '{topic[0]}', '{topic[1:0]}', '{$.}', '{a}', '{{$.a}}', repeat('a', 501)]) AS t;
SELECT is(
    mqtt.filled_template(mqtt.template_parts(t.template), '{a,b,c,d}', '{"x": 1, "y": {"z": "w"}}', '{}', 'me'), t.filled, t.template
)
FROM (VALUES
    ('{topic[2]}', 'b'), ('{topic[2:-1]}', 'b/c/d'), ('{topic[2:3]}', 'b/c'), ('{topic[2:-2]}', 'b/c'), ('{topic[-1]}', 'd'), ('{topic[9]}', NULL),
    ('{topic[3:2]}', NULL), ('{$.y.z}-{$.x}', 'w-1'), ('{$.none | $.x}', '1'), ('{$.y}', NULL), ('{login}/{topic[1]}', 'me/a'), ('x', 'x')
) AS t (template, filled);
SELECT is(mqtt.moved_template('{topic[1]}/{topic[2:3]}/{topic[2:-1]}/{topic[-2]}', 2), '{topic[3]}/{topic[4:5]}/{topic[4:-1]}/{topic[-2]}', 'levels are moved');

-- Times and values.
SELECT is(mqtt.rule_time(v.value, v.unit, v.zone), v.at::timestamptz, format('%s %s %s', v.value, v.unit, v.zone))
FROM (VALUES
    ('"2026-11-01T07:00:00"'::jsonb, NULL, NULL, '2026-11-01 07:00+00'), ('"2026-07-01T07:00:00"', NULL, 'Europe/Berlin', '2026-07-01 05:00+00'),
    ('"2026-07-01T07:00:00Z"', NULL, 'Europe/Berlin', '2026-07-01 07:00+00'), ('1000', 's', NULL, '1970-01-01 00:16:40+00'),
    ('"1500"', 'ms', NULL, '1970-01-01 00:00:01.5+00'), ('1500', 'us', NULL, '1970-01-01 00:00:00.0015+00'), ('1e300', 's', NULL, NULL), ('"x"', 's', NULL, NULL)
) AS v (value, unit, zone, at);

-- Who may write them, and what is refused.
SELECT act_as('authenticated', :'alice');
CREATE TEMPORARY TABLE rule AS
SELECT api.upsert_payload_rule(:'hosted', 'org_alice/x/+/up', '{topic[3]}', metrics => '{"*": "$.d", "half": "$.d.a / 2", "skipped": null}') AS made;
SELECT is((SELECT made ->> 'position' FROM rule), '10', 'the first rule has position 10');
SELECT is(api.upsert_payload_rule(:'hosted', '#', NULL, 'ignore') ->> 'position', '20', 'further ones follow');
SELECT refuses(
    format('SELECT api.upsert_payload_rule(%L, %s)', :'hosted', r.arguments), 'PT400', 'payload_rule_invalid', r.arguments, r.place
)
FROM (VALUES
    ($$'a/#/b', 'd'$$, 'topic %'), ($$'a', '{'$$, 'device %'), ($$'a'$$, 'device is missing%'), ($$'a', 'd', 'odd'$$, 'role %'),
    ($$'a', 'd', condition => '$.a'$$, 'condition is a path, but no predicate%'), ($$'a', 'd', decode => 'xml'$$, 'decode %'),
    ($$'a', 'd', samples => '{$.}'$$, 'samples %'), ($$'a', 'd', "time" => '{"path": "$.t", "zone": "Mars/Base"}'$$, 'time zone is not%'),
    ($$'a', 'd', metrics => '{"t": "$..a"}'$$, 'metrics "t": the path is not%'), ($$'a', 'd', metrics => '{"{t}": "$.a"}'$$, 'metrics "{t}": the name %'),
    ($$'a', 'd', metrics => '{"t": {"path": "$", "type": "odd"}}'$$, 'metrics "t": type %'), ($$'a', 'd', metrics => '{"t": 1}'$$, 'metrics "t": is not a path%'),
    ($$'a', 'd', presence => '$.'$$, 'presence %')
) AS r (arguments, place);
SELECT refuses(format($$SELECT api.upsert_payload_rule(%L, 'a', 'd', "position" => 10)$$, :'hosted'), 'PT409', 'position_taken', 'a position is taken once');
SELECT act_as('authenticated', :'anna');
SELECT refuses(format($$SELECT api.upsert_payload_rule(%L, 'a', 'd')$$, :'hosted'), 'PT403', 'admin_required', 'a member writes none');
SELECT is((SELECT count(*)::integer FROM api.payload_rules), 2, 'but sees them');
SELECT act_as('authenticated', :'bob');
SELECT is((SELECT count(*)::integer FROM api.payload_rules), 0, 'a stranger does not');
SELECT refuses(format('SELECT api.delete_payload_rule(%L)', (SELECT made ->> 'id' FROM rule)), 'PT404', 'payload_rule_not_found', 'nor deletes one') FROM pg_catalog.pg_class LIMIT 0;
SELECT act_as('none');

-- What they make of messages.
CREATE FUNCTION tap.tried(payload jsonb, topic text DEFAULT 'org_alice/x/d1/up') RETURNS jsonb
LANGUAGE sql AS $$
    SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('device', i.external_id, 'data', i.data, 'facts', i.facts, 'reason', i.reason)) ORDER BY i.sample)
    FROM unnest(mqtt.interpretations(ARRAY[
        ROW(1, '11111111-0000-4000-8000-000000000010', NULL, tried.topic, tried.payload, NULL, now(), NULL, NULL, NULL)::mqtt.rule_message
    ])) AS i;
$$;
SELECT is(
    tap.tried('{"d": {"a": 3, "b": {"c": 1, "list": [1]}, "skipped": 2}}'), '[{"device": "d1", "data": {"a": 3, "b.c": 1, "half": 1.5}}]', 'members, nested ones and arithmetic'
);
SELECT is(tap.tried('{"x": 1}') -> 0 ->> 'reason', 'none of its metrics is there', 'or why there is nothing');
SELECT is(tap.tried('{"d": 1}', 'org_alice/x/y/z/up'), '[{}]', 'a filter matches whole levels: the next rule decides');
UPDATE mqtt.payload_rules SET device = '{$parent.key}', samples = '{$.keyvalue(),$.value[*]}', metrics = '{"*": "$.v"}', time = '{"path": "$.ts", "unit": "ms"}'
WHERE position = 10 AND integration_id = :'hosted';
SELECT is(
    tap.tried('{"p": [{"ts": 1, "v": {"a": 1}}, {"ts": 2, "v": {"a": 2}}], "q": [{"ts": 1, "v": {"b": "x"}}]}'),
    '[{"device": "p", "data": {"a": 1}}, {"device": "p", "data": {"a": 2}}, {"device": "q", "data": {"b": "x"}}]', 'several samples and devices in a message'
);
UPDATE mqtt.payload_rules SET device = 'd', samples = '{$.p[*]}' WHERE position = 10 AND integration_id = :'hosted';
SELECT is(
    tap.tried(jsonb_build_object('p', (SELECT jsonb_agg('{"v": {"a": 1}}'::jsonb) FROM generate_series(1, 1100)))) -> -1 ->> 'reason',
    'rule 10: it has more than 1,000 samples', 'but not any number'
);
-- No check foresees everything: here it is a function that fails.
SAVEPOINT before;
CREATE OR REPLACE FUNCTION mqtt.rule_time(value jsonb, unit text, zone text) RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT to_timestamp(1 / (value::numeric - 2))';
UPDATE mqtt.payload_rules SET device = 'd', samples = '{}', metrics = '{"*": "$.v"}', time = '{"path": "$.ts", "unit": "ms"}'
WHERE position = 10 AND integration_id = :'hosted';
SELECT results_eq(
    format($$SELECT i.place, i.data, i.reason FROM unnest(mqtt.interpretations(ARRAY(
        SELECT ROW(n, %L, NULL, 'org_alice/x/d1/up', jsonb_build_object('ts', n, 'v', jsonb_build_object('n', n)), NULL, now(), NULL, NULL, NULL)::mqtt.rule_message
        FROM generate_series(1, 3) AS n
    ))) AS i ORDER BY i.place$$, :'hosted'),
    $$VALUES (1::bigint, '{"n": 1}'::jsonb, NULL), (2, NULL, 'rule 10: division by zero'), (3, '{"n": 3}', NULL)$$,
    'what a rule fails on is told of that message, and its neighbours pass'
);
ROLLBACK TO before;
-- Stored messages.
INSERT INTO mqtt.mqtt_messages (received_at, measured_at, position, organization_id, id, integration_id, device_id, direction, topic, payload)
SELECT now(), now(), n * 1000000, :'org_alice', gen_random_uuid(), :'hosted', CASE n WHEN 1 THEN :'pump'::uuid END, 'incoming', t.topic, t.payload
FROM (VALUES (1, 'org_alice/x/d1/up', '{"p": [{"v": {"a": 1}}, {"v": {"a": 2}}]}'::jsonb), (2, 'org_alice/y', '{"b": 1}'), (3, 'org_alice/x/d2/up', '{"p": {"v": {"a": 3}}}'))
AS t (n, topic, payload);
SELECT act_as('authenticated', :'anna');
SELECT refuses(format('SELECT api.reapply_payload_rules(%L, NULL)', :'hosted'), 'PT403', 'admin_required', 'a member applies no rules to what is stored');
SELECT act_as('authenticated', :'alice');
CREATE TEMPORARY TABLE batch AS SELECT api.reapply_payload_rules(:'hosted', now() - interval '1 hour', "limit" => 2) AS answer;
SELECT is(answer - 'next_cursor', '{"messages": 2, "readings": 2, "packed_days": []}', 'stored messages, a batch at a time') FROM batch;
SELECT is(
    api.reapply_payload_rules(:'hosted', NULL, cursor => (SELECT answer ->> 'next_cursor' FROM batch)), '{"messages": 1, "readings": 1, "packed_days": [], "next_cursor": null}', 'and the rest'
);
SELECT is(api.reapply_payload_rules(:'hosted', NULL) ->> 'readings', '3', 'once more changes nothing');
SELECT act_as('none');
SELECT results_eq(
    $$SELECT d.external_id, r.payload FROM mqtt.readings AS r JOIN mqtt.devices AS d ON d.id = r.device_id ORDER BY r.payload$$,
    $$VALUES ('d', '{"a": 1}'::jsonb), ('d', '{"a": 2}'), ('d', '{"a": 3}')$$, 'readings are those of the rules, not those of before'
);
SELECT is((SELECT count(DISTINCT r.position)::integer FROM mqtt.readings AS r), 3, 'in a total order');

-- Presence goes by the order of acceptance, in whatever order and at whatever times workers come to it.
CREATE FUNCTION tap.told("position" bigint, received_at timestamptz, state text) RETURNS text LANGUAGE sql AS $$
    SELECT mqtt.record_device_facts(jsonb_build_array(jsonb_build_array(
        '11111111-0000-4000-8000-000000000001', '11111111-0000-4000-8000-000000000010', 'd', told."position", told.received_at, jsonb_build_object('presence', told.state)
    )));
    SELECT d.presence ->> 'state' FROM mqtt.devices AS d WHERE d.external_id = 'd';
$$;
SELECT is(told(1000, now() - interval '1 hour', 'offline'), 'offline', 'what was accepted last counts');
SELECT is(told(999, now(), 'online'), 'offline', 'not what was accepted before it, though it is read later');
-- A long key or text would be a part of the name of each member: 82 KB became 140 MB.
SELECT jsonb_build_object(repeat('x', 300), '{"a": 1}'::jsonb, 'y', '{"b": 2}'::jsonb) AS long_key \gset
SELECT is(mqtt.flat_members(:'long_key'), '{"y.b": 2}', 'no name of a nested member is longer than 255 bytes');
SELECT is(mqtt.flat_members(:'long_key'::jsonb || '{"z": {"c": {"d": 3}}}'), '{"y.b": 2, "z.c.d": 3}', 'however deep the others are');
SELECT results_eq(format('SELECT metric FROM mqtt.metric_values(%L, NULL)', :'long_key'), $$VALUES ('y.b')$$, 'also of payloads without rules');
SELECT api.upsert_payload_rule(:'hosted', 'org_alice/long', device => 'd', "position" => 5, metrics => '{"{$.p}*": "$.v"}') \g /dev/null
SELECT is(
    api.try_payload_rules(:'hosted', 'org_alice/long', jsonb_build_object('p', repeat('x', 300), 'v', '{"a": 1}'::jsonb)) #>> '{samples,0,reason}',
    'the name of a metric has more than 255 bytes', 'nor is a name that the payload gives'
);
-- A text that each sample names would be stored with each: 70 KB became 54 MB.
SELECT api.upsert_payload_rule(:'hosted', 'org_alice/same', device => 'd', "position" => 6, samples => '{$.s[*]}', metrics => '{"m": "$root.p"}') \g /dev/null
SELECT results_eq(
    $$SELECT octet_length(x #>> '{metrics,m}'), x ->> 'reason'
        FROM jsonb_array_elements(api.try_payload_rules(
            '11111111-0000-4000-8000-000000000010', 'org_alice/same', jsonb_build_object('p', repeat('x', 60000), 's', array_fill(1, '{18}'))
        ) -> 'samples') WITH ORDINALITY AS s (x, n)
        WHERE n IN (16, 18)$$,
    $$VALUES (60000, NULL), (NULL, 'its metrics have more than 56 KiB')$$, 'the more samples a message has, the less each may repeat'
);
SELECT is(mqtt.most_metrics(1000), 4096, 'though never less than a sample of its own needs');
-- The message type of readings of a rule is the rule's role, by whichever time they are asked for.
SELECT api.upsert_payload_rule(:'hosted', 'org_alice/devices/+/noise', device => '{topic[3]}', role => 'event', "position" => 7) \g /dev/null
SELECT mqtt.count_accepted(:'org_alice', 1) \g /dev/null
INSERT INTO pgmq.q_mqtt_messages (vt, message, organization_id, integration_id)
VALUES (clock_timestamp(), '{"topic": "org_alice/devices/d9/noise", "payload": {"e": 1}}', :'org_alice', :'hosted');
SELECT mqtt.process_batch(10) \g /dev/null
SELECT act_as('authenticated', :'anna');
SELECT is(
    (SELECT jsonb_agg(t.metrics) FROM api.query_telemetry(device_id => 'd9', message_types => '{event}', "time" => o.order_time) AS t), '[{"e": 1}]', 'events as ' || o.order_time
) FROM unnest('{measured,received}'::text []) AS o (order_time);
SELECT * FROM finish();
ROLLBACK;

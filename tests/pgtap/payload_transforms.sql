-- The transform of payload rules: what may be written, what it makes of messages through try_payload_rules and the worker, and what it is cut off for.
\ir setup.psql
SELECT to_regprocedure('mqtt.py_transform(text [], text [])') IS NULL AS lacks_jmespath \gset
\if :lacks_jmespath
SELECT plan(1);
SELECT skip('not run: it needs PL/Python and JMESPath', 1);
\else
SELECT plan(28);

SELECT function_privs_are('mqtt', f.name, f.arguments, 'authenticated', ARRAY[]::text [], f.name || ' is for the worker')
FROM (VALUES ('py_transform', ARRAY['text[]', 'text[]']), ('py_check_transform', ARRAY['text']), ('transformed', ARRAY['mqtt.rule_message[]'])) AS f (name, arguments);
CREATE FUNCTION tap.tried(topic text, payload jsonb) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_agg(coalesce(s.value -> 'reason', 'null') || jsonb_build_array(s.value -> 'device', s.value -> 'metrics', (s.value ->> 'time')::timestamptz AT TIME ZONE 'UTC'))
    FROM jsonb_array_elements(api.try_payload_rules('11111111-0000-4000-8000-000000000020', tried.topic, tried.payload) -> 'samples') AS s;
$$;
SELECT act_as('authenticated', :'alice');
SELECT refuses(
    format('SELECT api.upsert_payload_rule(%L, ''a'', ''d'', transform => %L)', :'external', r.transform), 'PT400', 'payload_rule_invalid', r.transform, r.reason
)
FROM (VALUES
    ('', 'transform must not be empty.'), ('{a: b', 'transform is not JMESPath: it ends too early.'), ('a..b', 'transform is not JMESPath at character 3: %'),
    ('a | open(@)', 'transform calls open() at character 5, and there is no such function.'), ('avg()', 'transform calls avg() with 0 arguments, and it takes 1.')
) AS r (transform, reason);
SELECT is(
    api.upsert_payload_rule(
        :'external', 'waves/+', '{topic[2]}', condition => 'exists($.v)', transform => '{start: start, step: step, samples: indexed(v)}',
        samples => '{$.samples[*]}', "time" => '{"path": "$root.start + $.index * $root.step", "unit": "s"}', metrics => '{"level": "$.value"}'
    ) ->> 'transform', '{start: start, step: step, samples: indexed(v)}', 'an admin writes one'
);
SELECT api.upsert_payload_rule(:'external', 'means', '{$.id}', transform => '{id: id, mean: avg(v), peak: max(v)}', metrics => '{"*": "$", "id": null}') \g /dev/null
SELECT api.upsert_payload_rule(:'external', 'text', 'd', decode => 'text', transform => $$from_items(split(@, ';')[*].split(@, '='))$$, metrics => '{"T": {"path": "$.T", "type": "number"}}') \g /dev/null
SELECT api.upsert_payload_rule(:'external', 'hex', 'd', decode => 'hex json of $.m', transform => 'm') \g /dev/null
SELECT api.upsert_payload_rule(:'external', 'attack', 'd', transform => repeat('[@,@][]|', 30) || '@') \g /dev/null
SELECT api.upsert_payload_rule(:'external', 'nothing', 'd', transform => 'none') \g /dev/null
SELECT api.upsert_payload_rule(:'external', 'far', 'd', transform => '[@, @]') \g /dev/null
SELECT is(tried(t.topic, t.payload), t.made, t.name)
FROM (VALUES
    (
        'waves/a', '{"start": 1700000000, "step": 60, "v": [5, 7.5]}'::jsonb,
        '[[null, "a", {"level": 5}, "2023-11-14T22:13:20"], [null, "a", {"level": 7.5}, "2023-11-14T22:14:20"]]'::jsonb, 'samples with a start and a step'
    ),
    ('means', '{"id": "m", "v": [1, 2, 6]}', '[[null, "m", {"mean": 3.0, "peak": 6}, null]]', 'a mean and a maximum'),
    ('text', '"T=21.5;H=40"', '[[null, "d", {"T": 21.5}, null]]', 'a text taken apart'),
    ('hex', '{"m": "7b2274223a20317d"}', '[[null, "d", {"t": 1}, null]]', 'after a member has been decoded'),
    ('means', '{"id": "m", "v": "x"}', '[["rule 20: transform_failed: avg() does not take string", null, null, null]]', 'what cannot be made says why'),
    ('attack', '[1]', '[["rule 50: transform_cut_off: it takes more than 2024 steps", null, null, null]]', 'what grows is cut off'),
    (
        'far', format('[%s1]', repeat('5e-324,', 101))::jsonb,
        '[["rule 70: transform_failed: The JSON has more than 200 numbers with exponents of 30 and more, or -30 and less.", null, null, null]]', 'what grows when it is read'
    ),
    ('nothing', '{"a": 1}', '[["rule 60: transform_failed: it makes null", null, null, null]]', 'null is none'),
    ('hex', '{"m": "xy"}', '[["rule 40: it is not hex: invalid hexadecimal digit: \"x\"", null, null, null]]', 'what is not decoded is not transformed')
) AS t (topic, payload, made, name);
SELECT is(
    api.try_payload_rules(:'external', 'means', '{"id": "m", "v": [1, 3]}') -> 'transformed', '{"id": "m", "mean": 2.0, "peak": 3}', 'the document that it makes is shown'
);
SELECT is(api.try_payload_rules(:'external', 'waves/a', '{"w": 1}') -> 'transformed', 'null', 'and none where no rule matches: the condition sees the payload before');
SELECT act_as('none');

-- The worker: one call for a batch; what is cut off fails alone.
SELECT mqtt.count_accepted(:'org_alice', 6) IS NULL AS is_counted \gset
INSERT INTO pgmq.q_mqtt_messages (vt, message, organization_id, integration_id)
SELECT clock_timestamp(), jsonb_build_object('topic', m.topic, 'payload', m.payload), :'org_alice', :'external'
FROM (VALUES
    ('attack', '[1]'::jsonb), ('means', '{"id": "w1", "v": [2, 4]}'), ('attack', '[2]'), ('means', '{"id": "w2", "v": [3, 5]}'), ('other', '{"n": 1}'),
    ('waves/w3', '{"start": 1700000000, "step": 1, "v": [1, 2, 3]}')
) AS m (topic, payload);
SELECT mqtt.store_messages(ARRAY(SELECT q.ctid FROM pgmq.q_mqtt_messages AS q)) \g /dev/null
CREATE VIEW tap.readings AS
SELECT d.external_id, jsonb_agg(r.payload ORDER BY r.position) AS payloads
FROM mqtt.readings AS r INNER JOIN mqtt.devices AS d ON d.id = r.device_id WHERE r.integration_id = '11111111-0000-4000-8000-000000000020' GROUP BY d.external_id;
SELECT results_eq(
    'SELECT * FROM tap.readings ORDER BY 1',
    $$VALUES ('w1', '[{"mean": 3.0, "peak": 4}]'::jsonb), ('w2', '[{"mean": 4.0, "peak": 5}]'), ('w3', '[{"level": 1}, {"level": 2}, {"level": 3}]')$$, 'the batch is read'
);
SELECT results_eq(
    $$SELECT m.topic, m.payload, m.decode_error FROM mqtt.mqtt_messages AS m WHERE m.decode_error IS NOT NULL ORDER BY m.position$$,
    $$SELECT 'attack', p::jsonb, 'rule 50: transform_cut_off: it takes more than 2024 steps' FROM unnest('{[1],[2]}'::text []) AS p$$,
    'what is cut off is kept as it came, and named'
);

-- Stored messages follow a new expression.
SELECT api.upsert_payload_rule(:'external', 'attack', 'd', transform => '{n: @[0]}', rule_id => (SELECT r.id FROM mqtt.payload_rules AS r WHERE r.topic = 'attack')) \g /dev/null
SELECT mqtt.reapply_rules(ARRAY(SELECT m FROM mqtt.messages_between(:'external', '-infinity', 0, 'infinity', 1000) AS m)) \g /dev/null
SELECT results_eq($$SELECT payloads FROM tap.readings WHERE external_id = 'd'$$, $$VALUES ('[{"n": 1}, {"n": 2}]'::jsonb)$$, 'applied again');
SELECT is_empty('SELECT FROM mqtt.mqtt_messages AS m WHERE m.decode_error IS NOT NULL', 'and its reason is gone');

-- What fails after it takes nobody along.
SAVEPOINT before;
CREATE OR REPLACE FUNCTION mqtt.rule_time(value jsonb, unit text, zone text) RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT to_timestamp(1 / (value::numeric - 2))';
UPDATE mqtt.payload_rules SET samples = '{}', metrics = '{"mean": "$.mean"}', time = '{"path": "$.peak", "unit": "s"}' WHERE topic = 'means' AND integration_id = :'external';
SELECT results_eq(
    format($$SELECT i.place, i.data, i.reason FROM unnest(mqtt.interpretations(ARRAY(
        SELECT ROW(n, %L, NULL, 'means', jsonb_build_object('id', 'x', 'v', jsonb_build_array(n)), NULL, now(), NULL, NULL, NULL)::mqtt.rule_message FROM generate_series(1, 3) AS n
    ))) AS i ORDER BY i.place$$, :'external'),
    $$VALUES (1::bigint, '{"mean": 1.0}'::jsonb, NULL), (2, NULL, 'rule 20: division by zero'), (3, '{"mean": 3.0}', NULL)$$,
    'what fails after it fails alone'
);
ROLLBACK TO before;

-- Where the function is gone, the rule stays, and says so of each message; no further one can be written.
ALTER FUNCTION mqtt.py_transform(text [], text []) RENAME TO py_gone;
ALTER FUNCTION mqtt.py_check_transform(text) RENAME TO py_gone_too;
SELECT act_as('authenticated', :'alice');
SELECT is(
    tried('means', '{"id": "m", "v": [1]}'), '[["rule 20: codec_unavailable: this server has no JMESPath (see mqtt.codecs())", null, null, null]]', 'a server without JMESPath says so'
);
SELECT refuses(
    format($$SELECT api.upsert_payload_rule(%L, 'a', 'd', transform => 'a')$$, :'external'), 'PT400', 'payload_rule_invalid', 'and takes no such rule',
    'transform needs PL/Python and JMESPath on the database server%'
);
SELECT is(api.upsert_payload_rule(:'external', 'b', 'd') ->> 'transform', NULL, 'but any other');
SELECT act_as('none');
\endif
SELECT * FROM finish();
ROLLBACK;

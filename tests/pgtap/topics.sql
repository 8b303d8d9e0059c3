-- MQTT topic names and filters: validity, matching, prefixes (MQTT 5 section 4.7).
\ir setup.psql
SELECT plan(57);

SELECT is(mqtt.topic_name_reason(t), NULL, 'a topic name: ' || left(t, 30))
FROM unnest(ARRAY['a', '/', 'a/', '//', 'a b', 'org_alice/devices/1/telemetry', 'größe/日本', repeat('x', 65535)]) AS t;
SELECT isnt(mqtt.topic_name_reason(t), NULL, 'no topic name: ' || to_json(left(t, 30)))
FROM unnest(ARRAY['', 'a/+', '#', 'a#', '$SYS/x', E'a\u0001', E'a\u007f', E'a\u009f', E'a\ufffe', E'a\ufdd0', repeat('x', 65536), repeat('ü', 32768)]) AS t;
SELECT is(mqtt.outbound_topic_reason(t), NULL, 'it can be published to: ' || t) FROM unnest(ARRAY['$aws/things/t/shadow/update', '$iothub/twin/GET/?$rid=1']) AS t;
SELECT isnt(mqtt.outbound_topic_reason(t), NULL, 'it cannot: ' || t) FROM unnest(ARRAY['$SYS/x', '$aws/+']) AS t;
SELECT isnt(mqtt.topic_name_reason(NULL), NULL, 'null is no topic name');

SELECT is(mqtt.topic_filter_reason(f), NULL, 'a topic filter: ' || f)
FROM unnest(ARRAY['#', '+', 'a/#', '+/+/#', '/+', 'a//b', '$SYS/#', '$share/g/a/+', repeat('+/', 199) || '#']) AS f;
SELECT isnt(mqtt.topic_filter_reason(f), NULL, 'no topic filter: ' || f)
FROM unnest(ARRAY['', 'a+', '+a', 'a/#/b', 'a#', '##', '$share/g', '$share//a', '$share/g+/a', repeat('+/', 200) || '#']) AS f;

SELECT results_eq(
    $$SELECT f, t FROM (VALUES
        ('#', 'a/b'), ('#', '$SYS/a'), ('+/a', '$SYS/a'), ('$SYS/#', '$SYS/a'), ('a/#', 'a'), ('a/#', 'a/b/c'), ('a/#', 'ab'),
        ('+', 'a'), ('+', '/a'), ('/+', '/a'), ('+/+', '/a'), ('a/+', 'a/'), ('a/+', 'a'), ('a.b', 'a.b'), ('a.b', 'axb'), ('a/+/c', 'a/b/c'),
        ('$share/g/a/+', 'a/b'), ('a_b/#', 'axb/c'), ('a%/#', 'abc/d'), ('[a]', 'a')
    ) AS m (f, t) WHERE mqtt.topic_matches(f, t)$$,
    $$VALUES ('#', 'a/b'), ('$SYS/#', '$SYS/a'), ('a/#', 'a'), ('a/#', 'a/b/c'), ('+', 'a'), ('/+', '/a'), ('+/+', '/a'), ('a/+', 'a/'),
        ('a.b', 'a.b'), ('a/+/c', 'a/b/c'), ('$share/g/a/+', 'a/b')$$,
    'filters match what the specification says, and nothing else'
);
SELECT is_empty(
    $$SELECT m.* FROM (VALUES
        ('#', 'a/b'), ('$SYS/#', '$SYS/a'), ('a/#', 'a'), ('a/#', 'a/b/c'), ('+', 'a'), ('/+', '/a'), ('+/+', '/a'), ('a/+', 'a/'), ('a//+', 'a//b'),
        ('a/b', 'a/b'), ('a/+/c', 'a/b/c'), ('$share/g/a/+', 'a/b'), ('/', '/'), ('//#', '//a'), ('a/#', repeat('a/', 30)),
        (repeat('a/', 20) || '#', repeat('a/', 30)), (repeat('a/', 20) || 'b', repeat('a/', 20) || 'b')
    ) AS m (f, t) WHERE NOT mqtt.topic_matches(f, t) OR mqtt.topic_filter_prefix(f) NOT IN (SELECT p FROM mqtt.topic_prefixes(t) AS p)$$,
    'a filter that matches is found by one of the topic''s prefixes'
);
SELECT ok(mqtt.topic_matches(f, t), 'a long filter matches') FROM (VALUES
    (repeat('x', 50000), repeat('x', 50000)), (repeat('+/', 199) || '#', repeat('/', 30000))
) AS m (f, t);
SELECT bag_eq($$SELECT p FROM mqtt.topic_prefixes('/a/b') AS p$$, $$VALUES (''), ('/a'), ('/a/b')$$, 'the prefixes of a topic, each once');
SELECT ok(mqtt.topic_is_under('org_a/x', 'org_a'), 'below a prefix');
SELECT ok(NOT mqtt.topic_is_under(t, 'org_a'), 'not below org_a: ' || t)
FROM unnest(ARRAY['org_ab/x', 'orgXa/x', 'org_a', 'ORG_A/x', '/org_a/x']) AS t;
SELECT is(mqtt.message_id_time(gen_random_uuid()), NULL, 'a client''s own id tells no time');
SELECT is_empty(
    $$SELECT t FROM generate_series('2026-03-01 12:00:00+00'::timestamptz, '2026-03-01 12:00:00.001+00', '1 microsecond') AS t WHERE mqtt.message_id_time(mqtt.message_id(t, 1)) <> t$$,
    'an id holds its time to the microsecond'
);
SELECT * FROM finish();
ROLLBACK;

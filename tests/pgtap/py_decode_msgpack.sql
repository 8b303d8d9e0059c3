-- mqtt.py_decode_msgpack: grants, the formats of the specification as jsonb, each kind of refusal; skipped where PL/Python is not to be had.
\ir setup.psql
SELECT to_regprocedure('mqtt.py_decode_msgpack(bytea)') IS NOT NULL AS is_here \gset
\if :is_here
SELECT plan(48);

SELECT function_owner_is('mqtt', 'py_decode_msgpack', ARRAY['bytea'], 'mqtt_owner', 'owned by mqtt_owner');
SELECT function_lang_is('mqtt', 'py_decode_msgpack', ARRAY['bytea'], 'plpython3u', 'in PL/Python');
SELECT volatility_is('mqtt', 'py_decode_msgpack', ARRAY['bytea'], 'immutable', 'immutable');
SELECT isnt_definer('mqtt', 'py_decode_msgpack', ARRAY['bytea'], 'not definer');
SELECT function_privs_are('mqtt', 'py_decode_msgpack', ARRAY['bytea'], r, ARRAY[]::text [])
FROM unnest(ARRAY['anon', 'authenticated', 'service_role', 'authenticator', 'mqtt_bridge']) AS r;
SELECT ok(NOT has_function_privilege('public', 'mqtt.py_decode_msgpack(bytea)', 'execute'), 'PUBLIC does not execute it');
SELECT is(mqtt.py_decode_msgpack(NULL), NULL, 'null gives null');

SELECT is(mqtt.py_decode_msgpack(decode(v.encoded, 'hex')), v.expected::jsonb, v.encoded || ' is ' || v.expected)
FROM (VALUES
    ('7f', '127'),
    ('e0', '-32'),
    ('c0', 'null'),
    ('c2', 'false'),
    ('cfffffffffffffffff', '18446744073709551615'),
    ('d38000000000000000', '-9223372036854775808'),
    ('ca3fc00000', '1.5'),
    ('cb3ff199999999999a', '1.1'),
    ('a3e6b0b4', '"水"'),
    ('db0000000161', '"a"'),
    ('c402ffff', '"__8"'),
    ('9201c0', '[1, null]'),
    ('dd0000000101', '[1]'),
    ('82a16101a16292c3c0', '{"a": 1, "b": [true, null]}'),
    ('df00000001a16101', '{"a": 1}'),
    ('82a16101a16102', '{"a": 2}'),
    ('d405ff', '{"ext": 5, "data": "_w"}'),
    ('c70005', '{"ext": 5, "data": ""}'),
    ('d6ff514b67b0', '"2013-03-21T20:04:00Z"'),
    ('d7ff77359400514b67b0', '"2013-03-21T20:04:00.5Z"'),
    ('82ff00c301', '{"-1": 0, "true": 1}'),
    (repeat('91', 64) || '01', repeat('[', 64) || '1' || repeat(']', 64))
) AS v (encoded, expected);

SELECT throws_ok(
    format('SELECT mqtt.py_decode_msgpack(%L)', '\x' || f.encoded), '38000', 'ValueError: ' || f.reason, left(f.encoded, 40) || ': ' || f.reason
)
FROM (VALUES
    ('', 'the bytes end early'),
    ('ddffffffff00', 'the bytes end early'),
    ('c9ffffffff05', 'the bytes end early'),
    ('0000', 'bytes follow the object'),
    ('c1', 'byte 0 starts no object'),
    ('cb7ff8000000000000', 'NaN and infinity are no JSON numbers'),
    ('a100', 'a text holds U+0000, which jsonb cannot store'),
    ('a1ff', 'a text is not valid UTF-8'),
    ('c705ff0000000000', 'a timestamp has 4, 8 or 12 bytes'),
    ('c70cff000000007fffffffffffffff', 'a timestamp is outside the years 1 to 9999'),
    (repeat('91', 65) || '01', 'more than 64 levels'),
    (repeat('dd000f0000', 1000) || repeat('00', 983041), 'more than 64 levels'),
    (repeat('81', 20) || 'a161' || repeat('01', 20), 'nested map keys grow too long as text'),
    (repeat('00', 1048577), 'more than 1048576 bytes')
) AS f (encoded, reason);
SELECT is(mqtt.py_decode_msgpack('\xc3'), 'true'::jsonb, 'works on after refusals');
\else
SELECT plan(2);
SELECT pass('mqtt.py_decode_msgpack is absent: ' || reason) FROM mqtt.codecs() WHERE codec = 'msgpack' AND NOT available;
SELECT skip('not run: it needs PL/Python', 1);
\endif
SELECT * FROM finish();
ROLLBACK;

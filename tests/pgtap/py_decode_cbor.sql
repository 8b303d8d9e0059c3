-- mqtt.py_decode_cbor: grants, vectors of RFC 8949 as jsonb, each kind of refusal; skipped where PL/Python is not to be had.
\ir setup.psql
SELECT to_regprocedure('mqtt.py_decode_cbor(bytea)') IS NOT NULL AS is_here \gset
\if :is_here
SELECT plan(79);

SELECT function_owner_is('mqtt', 'py_decode_cbor', ARRAY['bytea'], 'mqtt_owner', 'owned by mqtt_owner');
SELECT function_lang_is('mqtt', 'py_decode_cbor', ARRAY['bytea'], 'plpython3u', 'in PL/Python');
SELECT volatility_is('mqtt', 'py_decode_cbor', ARRAY['bytea'], 'immutable', 'immutable');
SELECT isnt_definer('mqtt', 'py_decode_cbor', ARRAY['bytea'], 'not definer');
SELECT function_privs_are('mqtt', 'py_decode_cbor', ARRAY['bytea'], r, ARRAY[]::text [])
FROM unnest(ARRAY['anon', 'authenticated', 'service_role', 'authenticator', 'mqtt_bridge']) AS r;
SELECT ok(NOT has_function_privilege('public', 'mqtt.py_decode_cbor(bytea)', 'execute'), 'PUBLIC does not execute it');
SELECT is(mqtt.py_decode_cbor(NULL), NULL, 'null gives null');

SELECT is(mqtt.py_decode_cbor(decode(v.encoded, 'hex')), v.expected::jsonb, v.encoded || ' is ' || v.expected)
FROM (VALUES
    ('00', '0'),
    ('1bffffffffffffffff', '18446744073709551615'),
    ('c249010000000000000000', '18446744073709551616'),
    ('3bffffffffffffffff', '-18446744073709551616'),
    ('c349010000000000000000', '-18446744073709551617'),
    ('3903e7', '-1000'),
    ('f98000', '0.0'),
    ('fb3ff199999999999a', '1.1'),
    ('f97bff', '65504'),
    ('fa7f7fffff', '3.4028234663852886e+38'),
    ('fb7e37e43c8800759c', '1e+300'),
    ('fb7fefffffffffffff', '1.7976931348623157e308'),
    ('fb0000000000000001', '5e-324'),
    ('f90001', '5.960464477539063e-8'),
    ('fbc010666666666666', '-4.1'),
    ('f4', 'false'),
    ('f5', 'true'),
    ('f6', 'null'),
    ('f7', 'null'),
    ('f0', 'null'),
    ('f8ff', 'null'),
    ('c074323031332d30332d32315432303a30343a30305a', '"2013-03-21T20:04:00Z"'),
    ('c1fb41d452d9ec200000', '1363896240.5'),
    ('c48221196ab3', '273.15'),
    ('c5822003', '1.5'),
    ('d74401020304', '"01020304"'),
    ('d6824101d543010203', '["AQ==", "AQID"]'),
    ('d818456449455446', '"ZElFVEY"'),
    ('d82076687474703a2f2f7777772e6578616d706c652e636f6d', '"http://www.example.com"'),
    ('4401020304', '"AQIDBA"'),
    ('60', '""'),
    ('62225c', '"\"\\"'),
    ('62c3bc', '"ü"'),
    ('63e6b0b4', '"水"'),
    ('64f0908591', '"\ud800\udd51"'),
    ('80', '[]'),
    ('8301820203820405', '[1, [2, 3], [4, 5]]'),
    ('a0', '{}'),
    ('a201020304', '{"1": 2, "3": 4}'),
    ('a26161016162820203', '{"a": 1, "b": [2, 3]}'),
    ('a2616101616102', '{"a": 2}'),
    ('5f42010243030405ff', '"AQIDBAU"'),
    ('7f657374726561646d696e67ff', '"streaming"'),
    ('9f018202039f0405ffff', '[1, [2, 3], [4, 5]]'),
    ('bf61610161629f0203ffff', '{"a": 1, "b": [2, 3]}'),
    ('bf6346756ef563416d7421ff', '{"Fun": true, "Amt": -2}'),
    (repeat('81', 64) || '01', repeat('[', 64) || '1' || repeat(']', 64))
) AS v (encoded, expected);

SELECT throws_ok(
    format('SELECT mqtt.py_decode_cbor(%L)', '\x' || f.encoded), '38000', 'ValueError: ' || f.reason, left(f.encoded, 40) || ': ' || f.reason
)
FROM (VALUES
    ('', 'the bytes end early'),
    ('a20102', 'the bytes end early'),
    ('7b7fffffffffffffff010203', 'the bytes end early'),
    ('0000', 'bytes follow the data item'),
    ('1c', 'byte 0 starts no data item'),
    ('81ff', 'byte 1 starts no data item'),
    ('5f6100ff', 'a chunk of a string is no string of the same type'),
    ('f97e00', 'NaN and infinity are no JSON numbers'),
    ('fb7ff0000000000000', 'NaN and infinity are no JSON numbers'),
    ('6100', 'a text holds U+0000, which jsonb cannot store'),
    ('a1610001', 'a text holds U+0000, which jsonb cannot store'),
    ('61ff', 'a text is not valid UTF-8'),
    ('63eda080', 'a text is not valid UTF-8'),
    ('c25881' || repeat('ff', 129), 'a number is beyond the range of a double'),
    ('c4821a3b9aca0001', 'a number is beyond the range of a double'),
    ('d81c81d81d00', 'references (tags 25 and 29) have no JSON form'),
    (repeat('81', 65) || '01', 'more than 64 levels'),
    (repeat('a1', 20) || '6161' || repeat('01', 20), 'nested map keys grow too long as text'),
    (repeat('81', 200000) || '01', 'more than 64 levels'),
    (repeat('00', 1048577), 'more than 1048576 bytes')
) AS f (encoded, reason);
SELECT is(mqtt.py_decode_cbor('\xf5'), 'true'::jsonb, 'works on after refusals');
\else
SELECT plan(2);
SELECT pass('mqtt.py_decode_cbor is absent: ' || reason) FROM mqtt.codecs() WHERE codec = 'cbor' AND NOT available;
SELECT skip('not run: it needs PL/Python', 1);
\endif
SELECT * FROM finish();
ROLLBACK;

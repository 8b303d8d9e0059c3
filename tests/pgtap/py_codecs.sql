-- mqtt.codecs(): one honest row for each part in PL/Python, whether it is there or not; only the owner asks.
\ir setup.psql
SELECT plan(10);

SELECT function_privs_are('mqtt', 'codecs', ARRAY[]::text [], r, ARRAY[]::text [])
FROM unnest(ARRAY['anon', 'authenticated', 'service_role', 'authenticator', 'mqtt_bridge']) AS r;
SELECT results_eq(
    $$SELECT codec, available FROM mqtt.codecs()$$,
    $$SELECT c.codec, to_regprocedure(c.function) IS NOT NULL
    FROM (VALUES
        ('cbor', 'mqtt.py_decode_cbor(bytea)'), ('msgpack', 'mqtt.py_decode_msgpack(bytea)'),
        ('sparkplug', 'mqtt.py_decode_sparkplug(text[], text[], text[], bytea[], text)'), ('influx', 'mqtt.py_decode_influx(bytea)'),
        ('csv', 'mqtt.py_decode_csv(bytea, text)'), ('cayenne', 'mqtt.py_decode_cayenne(bytea)'),
        ('senml', 'mqtt.py_decode_senml(text, double precision)'), ('binary', 'mqtt.py_decode_binary(bytea, text)'),
        ('protobuf', 'mqtt.py_decode_protobuf(bytea, text)'), ('decompress', 'mqtt.py_decompress(bytea, text)'),
        ('transform', 'mqtt.py_transform(text[], text[])'), ('seal', 'mqtt.py_seal(bytea, text)')
    ) AS c (codec, function)$$,
    'a part is available where its function is'
);
SELECT is_empty($$SELECT * FROM mqtt.codecs() WHERE available <> (reason IS NULL)$$, 'a reason is given where a part is absent, and only there');

DROP FUNCTION IF EXISTS mqtt.py_seal(bytea, text);
SELECT matches(reason, '^not created.*; run as superuser: psql -f deploy/base/py_seal\.sql$', 'says how to get an absent part')
FROM mqtt.codecs() WHERE codec = 'seal';
SELECT matches(mqtt.plpython_obstacle('topicbase_no_such_module'), 'PL/Python|topicbase_no_such_module.*install', 'a missing module is named');
SET LOCAL ROLE mqtt_owner;
SELECT matches(mqtt.plpython_obstacle(), 'PL/Python', 'a role that is no superuser cannot create functions in PL/Python');
SELECT * FROM finish();
ROLLBACK;

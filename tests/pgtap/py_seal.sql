-- mqtt.py_seal: grants, sealed boxes that the private key alone opens, refusals without the secret; skipped where PL/Python is not to be had.
\ir setup.psql
SELECT to_regprocedure('mqtt.py_seal(bytea, text)') IS NOT NULL AS is_here \gset
\if :is_here
SELECT plan(23);

SELECT function_owner_is('mqtt', 'py_seal', ARRAY['bytea', 'text'], 'mqtt_owner', 'owned by mqtt_owner');
SELECT function_lang_is('mqtt', 'py_seal', ARRAY['bytea', 'text'], 'plpython3u', 'in PL/Python');
SELECT volatility_is('mqtt', 'py_seal', ARRAY['bytea', 'text'], 'volatile', 'volatile');
SELECT isnt_definer('mqtt', 'py_seal', ARRAY['bytea', 'text'], 'not definer');
SELECT function_privs_are('mqtt', 'py_seal', ARRAY['bytea', 'text'], r, ARRAY[]::text [])
FROM unnest(ARRAY['anon', 'authenticated', 'service_role', 'authenticator', 'mqtt_bridge']) AS r;
SELECT ok(NOT has_function_privilege('public', 'mqtt.py_seal(bytea, text)', 'execute'), 'PUBLIC does not execute it');

-- The private key is the test's own: nothing in the database opens what is sealed.
CREATE FUNCTION pg_temp.opened(box bytea) RETURNS text LANGUAGE plpython3u AS $$
import nacl.public
return nacl.public.SealedBox(nacl.public.PrivateKey(bytes(range(32)))).decrypt(box).decode()
$$;
SELECT '\x8f40c5adb68f25624ae5b214ea767a6ec94d829d3d7b5e1ad1ba6f3e2138285f' AS public_key \gset
SELECT is(pg_temp.opened(mqtt.py_seal(:'public_key', s.secret)), s.secret, 'opens with the private key: ' || left(s.secret, 12))
FROM unnest(ARRAY['pa55', '', 'Grüße 水 𐅑', repeat('x', 65536)]) AS s (secret);
SELECT is(octet_length(mqtt.py_seal(:'public_key', 'pa55')), 52, '48 bytes longer than the secret');
SELECT isnt(mqtt.py_seal(:'public_key', 'pa55'), mqtt.py_seal(:'public_key', 'pa55'), 'no two are alike');
SELECT throws_ok(
    format('SELECT mqtt.py_seal(%L, %L)', f.key, f.secret), '38000', 'ValueError: ' || f.reason, f.reason || ' (' || coalesce(left(f.key, 8), 'null') || ')'
)
FROM (VALUES
    (NULL, 'pa55', 'an argument is null'),
    (:'public_key', NULL, 'an argument is null'),
    ('\x', 'pa55', 'a public key has 32 bytes'),
    ('\x' || repeat('09', 33), 'pa55', 'a public key has 32 bytes'),
    ('\x' || repeat('00', 32), 'pa55', 'no Curve25519 public key'),
    (:'public_key', repeat('x', 65537), 'a secret has at most 65536 bytes')
) AS f (key, secret, reason);
SELECT is_empty(
    $$SELECT p.oid::regprocedure FROM pg_proc AS p WHERE p.pronamespace = 'mqtt'::regnamespace AND p.proname ~ 'unseal|decrypt'$$,
    'nothing in the database unseals'
);
\else
SELECT plan(2);
SELECT pass('mqtt.py_seal is absent: ' || reason) FROM mqtt.codecs() WHERE codec = 'seal' AND NOT available;
SELECT skip('not run: it needs PL/Python', 1);
\endif
SELECT * FROM finish();
ROLLBACK;

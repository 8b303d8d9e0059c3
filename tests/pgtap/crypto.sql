-- Passwords of devices and their hashes. That Mosquitto takes the hash is tested with a real one, in tests/bridge.
\ir setup.psql
SELECT plan(12);
SELECT ok(
    (SELECT bool_and(p.password ~ '^[A-Za-z0-9_-]{32}$') AND count(DISTINCT p.password) = 100 FROM (SELECT mqtt.random_password() AS password FROM generate_series(1, 100)) AS p),
    'passwords are 32 URL-safe characters, each time others'
);
SELECT is(
    (SELECT count(DISTINCT c.character) FROM (SELECT regexp_split_to_table(mqtt.random_password(), '') AS character FROM generate_series(1, 200)) AS c),
    64::bigint, 'all 64 characters occur'
);
SELECT is(octet_length(mqtt.random_bytes(16)), 16, 'as many random bytes as asked for');
SELECT matches(mqtt.mosquitto_password_hash('x'), '^\$7\$1\$[A-Za-z0-9+/]{16}\$[A-Za-z0-9+/]{86}==$', 'the Mosquitto hash has its form, on one line');
SELECT isnt(mqtt.mosquitto_password_hash('x'), mqtt.mosquitto_password_hash('x'), 'it is salted');
-- RFC 2898 by hand: one block, one round.
SELECT is(
    split_part(h.hash, '$', 5),
    translate(encode(hmac(decode(split_part(h.hash, '$', 4), 'base64') || '\x00000001'::bytea, 'secret'::bytea, 'sha512'), 'base64'), E'\n', ''),
    'it is PBKDF2 with SHA-512'
)
FROM (SELECT mqtt.mosquitto_password_hash('secret') AS hash) AS h;
SELECT matches(mqtt.bcrypt_password_hash('x'), '^\$2a\$04\$[./A-Za-z0-9]{53}$', 'the bcrypt hash has the prefix that brokers take');
SELECT is(crypt('secret', h.hash), h.hash, 'it verifies') FROM (SELECT mqtt.bcrypt_password_hash('secret') AS hash) AS h;
SELECT isnt(crypt('Secret', h.hash), h.hash, 'it refuses another') FROM (SELECT mqtt.bcrypt_password_hash('secret') AS hash) AS h;
SELECT is(mqtt.password_verifier('\x00', 'a'), sha256('\x0061'), 'the verifier is SHA-256 of salt and password');
SELECT act_as('authenticated', :'alice');
SELECT throws_ok('SELECT mqtt.random_password()', '42501', NULL, 'members have no use for it');
SELECT throws_ok($$SELECT mqtt.bcrypt_password_hash('x')$$, '42501', NULL, 'nor for the hashes, which cost time');
SELECT * FROM finish();
ROLLBACK;

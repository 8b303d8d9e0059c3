-- Verify topicbase:base/passwords on pg
BEGIN;
SELECT mqtt.verify_function(f, true, 'v', '{}')
FROM unnest(ARRAY[
    'mqtt.random_password()', 'mqtt.random_bytes(integer)', 'mqtt.mosquitto_password_hash(text)', 'mqtt.bcrypt_password_hash(text)'
]::regprocedure []) AS f;
SELECT mqtt.verify_function('mqtt.password_verifier(bytea, text)', false, 'i', '{}');
ROLLBACK;

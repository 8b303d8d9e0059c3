-- Deploy topicbase:base/passwords to pg
-- requires: base/verify_helpers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
-- pgcrypto is used where it is installed (Supabase keeps it in "extensions"), else it goes to public.
SELECT NOT EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = 'pgcrypto') AS is_missing
\gset pgcrypto_
\if :pgcrypto_is_missing
    CREATE EXTENSION pgcrypto SCHEMA public;
\endif
SELECT
    n.nspname AS schema,
    NOT pg_catalog.has_schema_privilege('mqtt_owner', n.oid, 'usage') AS is_closed
FROM pg_catalog.pg_extension AS e
INNER JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace
WHERE e.extname = 'pgcrypto'
\gset pgcrypto_
\if :pgcrypto_is_closed
    GRANT USAGE ON SCHEMA :"pgcrypto_schema" TO mqtt_owner;
\endif
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.random_password() RETURNS text
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT translate(encode(:"pgcrypto_schema".gen_random_bytes(24), 'base64'), '+/', '-_');
END;
COMMENT ON FUNCTION mqtt.random_password() IS '32 random URL-safe characters (base64url, RFC 4648 section 5): 192 bits.';

CREATE OR REPLACE FUNCTION mqtt.random_bytes(length integer) RETURNS bytea
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT :"pgcrypto_schema".gen_random_bytes(length);
END;
COMMENT ON FUNCTION mqtt.random_bytes(integer) IS 'Cryptographically random bytes, 1 to 1024.';

CREATE OR REPLACE FUNCTION mqtt.mosquitto_password_hash(password text) RETURNS text
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    -- PBKDF2 of one round and one block is one HMAC over salt and block number; a random password needs no more rounds.
    SELECT '$7$1$' || encode(s.salt, 'base64') || '$'
        || replace(
            encode(:"pgcrypto_schema".hmac(s.salt || '\x00000001'::bytea, convert_to(password, 'UTF8'), 'sha512'), 'base64'), E'\n', ''
        )
    FROM (SELECT :"pgcrypto_schema".gen_random_bytes(12) AS salt) AS s;
END;
COMMENT ON FUNCTION mqtt.mosquitto_password_hash(text) IS
'The hash as Mosquitto''s password_file has it: $7$<rounds>$<salt>$<PBKDF2-HMAC-SHA512>. For random passwords only: one round.';

CREATE OR REPLACE FUNCTION mqtt.bcrypt_password_hash(password text) RETURNS text
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT :"pgcrypto_schema".crypt(password, :"pgcrypto_schema".gen_salt('bf', 4));
END;
COMMENT ON FUNCTION mqtt.bcrypt_password_hash(text) IS
'bcrypt hash with prefix $2a$, for brokers that check passwords in the database. For random passwords only: the lowest cost, 4.';

CREATE OR REPLACE FUNCTION mqtt.password_verifier(salt bytea, password text) RETURNS bytea
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT sha256(salt || convert_to(password, 'UTF8'));
END;
COMMENT ON FUNCTION mqtt.password_verifier(bytea, text) IS 'SHA-256 of salt and password, as mqtt_credentials.secret_hash holds it.';
COMMIT;

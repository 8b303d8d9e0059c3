-- Deploy topicbase:base/conceal to pg
-- requires: base/message_id_key
-- requires: base/passwords
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SELECT n.nspname AS schema
FROM pg_catalog.pg_extension AS e
INNER JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace
WHERE e.extname = 'pgcrypto'
\gset pgcrypto_
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.conceal(content bytea) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT translate(encode(:"pgcrypto_schema".encrypt(content, k.key, 'aes-cbc/pad:none'), 'base64'), E'+/=\n', '-_')  -- noqa: LT01
    FROM mqtt.message_id_key AS k;
END;
COMMENT ON FUNCTION mqtt.conceal(bytea) IS
'Bytes, a multiple of 16, as base64url that only this installation reads: for numbers that count what all organizations do.';

CREATE OR REPLACE FUNCTION mqtt.reveal(concealed text) RETURNS bytea
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT :"pgcrypto_schema".decrypt(  -- noqa: LT01
        decode(translate(concealed, '-_', '+/') || repeat('=', -length(concealed) & 3), 'base64'), k.key, 'aes-cbc/pad:none'
    )
    FROM mqtt.message_id_key AS k;  -- noqa: AL05
END;
COMMENT ON FUNCTION mqtt.reveal(text) IS
'The bytes that mqtt.conceal was given. Something else is revealed as random bytes, or raises a data_exception or an external_routine_exception.';
COMMIT;

-- Revert topicbase:base/py_decode_cbor from pg
-- Rendered by bin/embed-plpython from plpython/decode_cbor.py: change it there.
BEGIN;
DROP FUNCTION IF EXISTS mqtt.py_decode_cbor(bytea);
COMMIT;

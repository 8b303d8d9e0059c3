-- Revert topicbase:base/py_decode_msgpack from pg
-- Rendered by bin/embed-plpython from plpython/decode_msgpack.py: change it there.
BEGIN;
DROP FUNCTION IF EXISTS mqtt.py_decode_msgpack(bytea);
COMMIT;

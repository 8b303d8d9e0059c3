-- Revert topicbase:base/py_decode_binary from pg
-- Rendered by bin/embed-plpython from plpython/decode_binary.py: change it there.
BEGIN;
DROP FUNCTION IF EXISTS mqtt.py_decode_binary(bytea, text);
COMMIT;

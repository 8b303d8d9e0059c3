-- Revert topicbase:base/py_decode_protobuf from pg
-- Rendered by bin/embed-plpython from plpython/decode_protobuf.py: change it there.
BEGIN;
DROP FUNCTION IF EXISTS mqtt.py_decode_protobuf(bytea, text);
COMMIT;

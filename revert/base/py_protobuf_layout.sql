-- Revert topicbase:base/py_protobuf_layout from pg
-- Rendered by bin/embed-plpython from plpython/protobuf_layout.py: change it there.
BEGIN;
DROP FUNCTION IF EXISTS mqtt.py_protobuf_layout(bytea, text);
COMMIT;

-- Revert topicbase:base/py_decompress from pg
-- Rendered by bin/embed-plpython from plpython/decompress.py: change it there.
BEGIN;
DROP FUNCTION IF EXISTS mqtt.py_decompress(bytea, text);
COMMIT;

-- Revert topicbase:base/py_decode_cayenne from pg
-- Rendered by bin/embed-plpython from plpython/decode_cayenne.py: change it there.
BEGIN;
DROP FUNCTION IF EXISTS mqtt.py_decode_cayenne(bytea);
COMMIT;

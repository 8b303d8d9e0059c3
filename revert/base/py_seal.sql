-- Revert topicbase:base/py_seal from pg
-- Rendered by bin/embed-plpython from plpython/seal.py: change it there.
BEGIN;
DROP FUNCTION IF EXISTS mqtt.py_seal(bytea, text);
COMMIT;

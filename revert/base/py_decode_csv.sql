-- Revert topicbase:base/py_decode_csv from pg
-- Rendered by bin/embed-plpython from plpython/decode_csv.py: change it there.
BEGIN;
DROP FUNCTION IF EXISTS mqtt.py_decode_csv(bytea, text);
COMMIT;

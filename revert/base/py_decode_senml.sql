-- Revert topicbase:base/py_decode_senml from pg
-- Rendered by bin/embed-plpython from plpython/decode_senml.py: change it there.
BEGIN;
DROP FUNCTION IF EXISTS mqtt.py_decode_senml(text, double precision);
COMMIT;

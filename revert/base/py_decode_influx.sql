-- Revert topicbase:base/py_decode_influx from pg
-- Rendered by bin/embed-plpython from plpython/decode_influx.py: change it there.
BEGIN;
DROP FUNCTION IF EXISTS mqtt.py_decode_influx(bytea);
COMMIT;

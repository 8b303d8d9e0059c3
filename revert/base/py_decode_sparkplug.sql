-- Revert topicbase:base/py_decode_sparkplug from pg
-- Rendered by bin/embed-plpython from plpython/decode_sparkplug.py: change it there.
BEGIN;
DROP FUNCTION IF EXISTS mqtt.py_decode_sparkplug(text [], text [], text [], bytea [], text);
COMMIT;

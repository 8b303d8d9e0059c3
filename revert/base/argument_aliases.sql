-- Revert topicbase:base/argument_aliases from pg
BEGIN;
DROP FUNCTION mqtt.one_of(anyelement, anyelement, text, text);
COMMIT;

-- Revert topicbase:integrations/call_places from pg
BEGIN;
DROP FUNCTION mqtt.take_call_place();
DROP FUNCTION mqtt.try_places(integer, text, integer);
COMMIT;

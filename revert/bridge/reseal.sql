-- Revert topicbase:bridge/reseal from pg
BEGIN;
DROP FUNCTION bridge.reseal(text [], uuid [], jsonb [], jsonb []);
DROP FUNCTION bridge.sealed_otherwise(text, uuid, integer);
DROP FUNCTION bridge.sealing_state();
COMMIT;

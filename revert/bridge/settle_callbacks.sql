-- Revert topicbase:bridge/settle_callbacks from pg
BEGIN;
DROP FUNCTION bridge.settle_callbacks(uuid, uuid [], uuid [], smallint [], smallint [], text [], text [], integer [], boolean [], real []);
COMMIT;

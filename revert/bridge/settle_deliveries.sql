-- Revert topicbase:bridge/settle_deliveries from pg
BEGIN;
DROP FUNCTION mqtt.settle_deliveries(uuid, uuid [], uuid [], smallint [], smallint [], text [], text [], integer [], boolean [], real []);
COMMIT;

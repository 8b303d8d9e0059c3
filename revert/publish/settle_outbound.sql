-- Revert topicbase:publish/settle_outbound from pg
BEGIN;
DROP FUNCTION mqtt.settle_outbound(bigint [], text [], smallint [], text [], uuid);
COMMIT;

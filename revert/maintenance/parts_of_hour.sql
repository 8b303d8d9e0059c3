-- Revert topicbase:maintenance/parts_of_hour from pg
BEGIN;
DROP FUNCTION mqtt.parts_of_hour(mqtt.rollup_progress, uuid, timestamptz, timestamptz, bigint [], boolean);
COMMIT;

-- Revert topicbase:process/interpretation from pg
BEGIN;
DROP TYPE mqtt.interpretation;
COMMIT;

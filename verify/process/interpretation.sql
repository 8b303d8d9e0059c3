-- Verify topicbase:process/interpretation on pg
BEGIN;
SELECT NULL::mqtt.interpretation;
ROLLBACK;

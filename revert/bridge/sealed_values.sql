-- Revert topicbase:bridge/sealed_values from pg
BEGIN;
DROP VIEW mqtt.sealed_values;
COMMIT;

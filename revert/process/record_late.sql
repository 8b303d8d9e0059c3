-- Revert topicbase:process/record_late from pg
BEGIN;
DROP FUNCTION mqtt.record_late(mqtt.late_reading []);
COMMIT;

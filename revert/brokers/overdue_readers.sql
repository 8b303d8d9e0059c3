-- Revert topicbase:brokers/overdue_readers from pg
BEGIN;
DROP FUNCTION mqtt.end_overdue_readers();
COMMIT;

-- Revert topicbase:readings/as_double from pg
BEGIN;
DROP FUNCTION mqtt.as_double(numeric);
COMMIT;

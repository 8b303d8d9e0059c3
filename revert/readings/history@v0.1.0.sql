-- Revert topicbase:readings/history from pg
BEGIN;
DROP FUNCTION readings.messages(text [], timestamptz, timestamptz);
DROP FUNCTION readings.metrics(text [], text [], timestamptz, timestamptz);
COMMIT;

-- Revert topicbase:process/share_due from pg
BEGIN;
DROP FUNCTION mqtt.share_due(uuid [], timestamptz [], integer [], integer, integer, integer, timestamptz, interval, interval);
COMMIT;

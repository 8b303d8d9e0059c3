-- Verify topicbase:process/share_due on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.share_due(uuid[], timestamptz[], integer[], integer, integer, integer, timestamptz, interval, interval)', false, 's', '{}');
ROLLBACK;

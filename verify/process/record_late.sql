-- Verify topicbase:process/record_late on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.record_late(mqtt.late_reading [])', true, 'v', '{}');
ROLLBACK;

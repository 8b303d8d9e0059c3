-- Verify topicbase:tables/history_values on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.history_flags(smallint, boolean, boolean, boolean, boolean)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.stored_after(timestamptz, timestamptz)', false, 's', '{}');
ROLLBACK;

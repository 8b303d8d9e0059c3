-- Verify topicbase:bridge/after_restore on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.set_aside_outbound(integer)', true, 'v', '{}');
ROLLBACK;

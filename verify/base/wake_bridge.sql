-- Verify topicbase:base/wake_bridge on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.wake_bridge(text)', true, 'v', '{}');
ROLLBACK;

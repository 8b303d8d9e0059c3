-- Verify topicbase:integrations/log_subscription on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.log_subscription()', true, 'v', '{}');
ROLLBACK;

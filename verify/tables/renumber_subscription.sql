-- Verify topicbase:tables/renumber_subscription on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.permuted_number(integer)', true, 's', '{}');
SELECT mqtt.verify_function('mqtt.renumber_subscription()', true, 'v', '{}');
ROLLBACK;

-- Verify topicbase:bridge/notify_config on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.notify_config()', true, 'v', '{}');
SELECT 1 / (count(*) = 5)::integer FROM pg_trigger WHERE tgfoid = 'mqtt.notify_config()'::regprocedure;
ROLLBACK;

-- Verify topicbase:integrations/outdate_topics on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.outdate_integration_topics()', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.outdate_device_topics()', true, 'v', '{}');
SELECT 1 / (count(*) = 3)::integer FROM pg_catalog.pg_trigger WHERE tgname IN ('z_outdate_topics', 'z_outdate_moved') AND tgenabled = 'O';
ROLLBACK;

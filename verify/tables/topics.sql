-- Verify topicbase:tables/topics on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.topics', '{SELECT}', '{SELECT}');
SELECT mqtt.verify_table('mqtt.topic_counts', '{}', '{}');
SELECT 1 / (to_regclass('mqtt.topic_numbers') IS NOT NULL)::integer;
ROLLBACK;

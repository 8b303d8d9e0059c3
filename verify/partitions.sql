-- Verify topicbase:partitions on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.prepare_partitions()', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.drop_partitions(regclass, integer)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.create_default_partition(regclass)', true, 'v', '{}');
ROLLBACK;

-- Verify topicbase:base/partitions on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.prepare_partitions()', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.expired_partitions(regclass, integer)', true, 's', '{}');
SELECT mqtt.verify_function('mqtt.drop_partitions(regclass [])', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.create_default_partition(regclass)', true, 'v', '{}');
ROLLBACK;

-- Verify topicbase:base/prepare_partitions on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.prepare_partitions()', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.adopt_default_partition(regclass)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.prepare_partitions_of(regclass, integer)', true, 'v', '{}');
ROLLBACK;

-- Verify topicbase:base/partitions on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.expired_partitions(regclass, integer)', true, 's', '{}');
SELECT mqtt.verify_function('mqtt.drop_partitions(regclass [])', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.create_default_partition(regclass)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.lock_table(regclass, boolean)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.create_partition(regclass, date)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.partition_ranges(regclass)', true, 's', '{}');
SELECT mqtt.verify_function('mqtt.partition_column(regclass)', true, 's', '{}');
ROLLBACK;

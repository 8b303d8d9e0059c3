-- Revert topicbase:base/partitions from pg
BEGIN;
DROP FUNCTION mqtt.drop_partitions(regclass []);
DROP FUNCTION mqtt.expired_partitions(regclass, integer);
DROP FUNCTION mqtt.create_default_partition(regclass);
DROP FUNCTION mqtt.create_partition(regclass, date);
DROP FUNCTION mqtt.lock_table(regclass, boolean);
DROP FUNCTION mqtt.partition_column(regclass);
DROP FUNCTION mqtt.partition_ranges(regclass);
COMMIT;

-- Revert topicbase:base/prepare_partitions from pg
BEGIN;
DROP FUNCTION mqtt.prepare_partitions();
DROP FUNCTION mqtt.prepare_partitions_of(regclass, integer);
DROP FUNCTION mqtt.adopt_default_partition(regclass);
COMMIT;

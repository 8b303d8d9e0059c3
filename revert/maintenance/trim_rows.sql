-- Revert topicbase:maintenance/trim_rows from pg
BEGIN;
DROP FUNCTION mqtt.trim_rows(regclass, text, text, text, integer);
DROP FUNCTION mqtt.trim_partitions(regclass, timestamptz, bigint);
DROP FUNCTION mqtt.try_trim_range(regclass, text, text, text, timestamptz, timestamptz, bigint, boolean);
DROP FUNCTION mqtt.retention_subject(regclass, text);
DROP FUNCTION mqtt.trim_range(regclass, text, text, text, timestamptz, timestamptz, bigint, boolean);
DROP FUNCTION mqtt.trim_condition(text [], timestamptz, boolean);
DROP FUNCTION mqtt.trimmed_until(timestamptz, uuid);
DROP FUNCTION mqtt.has_unsettled(timestamptz, timestamptz);
DROP FUNCTION mqtt.unsettled_since(timestamptz, uuid);
COMMIT;

-- Verify topicbase:maintenance/trim_rows on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.has_unsettled(timestamptz, timestamptz)', true, 's', '{}');
SELECT mqtt.verify_function('mqtt.trimmed_until(timestamptz, uuid)', true, 's', '{}');
SELECT mqtt.verify_function('mqtt.trim_condition(text [], timestamptz, boolean)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.trim_range(regclass, text, text, text, timestamptz, timestamptz, bigint, boolean)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.retention_subject(regclass, text)', true, 's', '{}');
SELECT mqtt.verify_function('mqtt.try_trim_range(regclass, text, text, text, timestamptz, timestamptz, bigint, boolean)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.trim_partitions(regclass, timestamptz, bigint)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.trim_rows(regclass, text, text, text, integer)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.unsettled_since(timestamptz, uuid)', true, 's', '{}');
ROLLBACK;

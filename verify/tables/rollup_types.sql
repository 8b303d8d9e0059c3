-- Verify topicbase:tables/rollup_types on pg
BEGIN;
SELECT 'mqtt.late_reading'::regtype;
SELECT 1 / (has_type_privilege('authenticated', 'mqtt.rollup_part', 'usage') AND has_type_privilege('authenticated', 'mqtt.reading_span', 'usage'))::integer;
ROLLBACK;

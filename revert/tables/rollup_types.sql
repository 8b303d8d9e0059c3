-- Revert topicbase:tables/rollup_types from pg
BEGIN;
DROP TYPE mqtt.late_reading;
DROP TYPE mqtt.reading_span;
DROP TYPE mqtt.rollup_part;
COMMIT;

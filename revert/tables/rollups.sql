-- Revert topicbase:tables/rollups from pg
-- Loses the rollups, also those of messages that retention has removed.
BEGIN;
DROP TABLE mqtt.rollup_minutes;
DROP TABLE mqtt.rollups;
DROP TABLE mqtt.rollup_series;
DROP TABLE mqtt.late_readings;
DROP TABLE mqtt.rollup_progress;
COMMIT;

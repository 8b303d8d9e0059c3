-- Verify topicbase:maintenance/parts_of_hour on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.parts_of_hour(mqtt.rollup_progress, uuid, timestamptz, timestamptz, bigint [], boolean)', true, 's', '{}');
ROLLBACK;

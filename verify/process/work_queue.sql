-- Verify topicbase:process/work_queue on pg
BEGIN;
SELECT 1 / (NOT has_function_privilege('mqtt_bridge', 'mqtt.work_queue(integer)', 'execute'))::integer;
ROLLBACK;

-- Verify topicbase:brokers/written_rules on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.write_rules()', true, 'v', '{}');
SELECT 1 / (count(*) = 1)::integer
FROM pg_catalog.pg_trigger
WHERE tgrelid = 'mqtt.mqtt_credentials'::regclass AND tgname = 'b_written_rules' AND tgenabled = 'O';
ROLLBACK;

-- Verify topicbase:bridge/process_queue on pg
BEGIN;
SELECT mqtt.verify_function('bridge.process_queue(integer)', true, 'v', '{mqtt_bridge}');
ROLLBACK;

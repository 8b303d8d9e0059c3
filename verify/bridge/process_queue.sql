-- Verify topicbase:bridge/process_queue on pg
BEGIN;
SELECT mqtt.verify_function('bridge.process_queue(integer, uuid [], uuid [])', true, 'v', '{mqtt_bridge}');
SELECT mqtt.verify_function('bridge.process_heavy(uuid)', true, 'v', '{mqtt_bridge}');
ROLLBACK;

-- Verify topicbase:bridge/hello on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.live_bridges(uuid)', true, 'v', '{}');
SELECT mqtt.verify_function('bridge.hello(uuid, text, text, integer)', true, 'v', '{mqtt_bridge}');
SELECT mqtt.verify_function('bridge.heartbeat(uuid)', true, 'v', '{mqtt_bridge}');
SELECT mqtt.verify_function('bridge.end_bridge(uuid)', false, 'v', '{mqtt_bridge}');
ROLLBACK;

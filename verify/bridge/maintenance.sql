-- Verify topicbase:bridge/maintenance on pg
BEGIN;
SELECT mqtt.verify_function('bridge.check_intake(uuid)', true, 'v', '{mqtt_bridge}');
SELECT mqtt.verify_function('bridge.keep_house()', true, 'v', '{mqtt_bridge}');
SELECT mqtt.verify_function('bridge.cleanup()', true, 'v', '{mqtt_bridge}');
ROLLBACK;

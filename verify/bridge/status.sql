-- Verify topicbase:bridge/status on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.queue_depths()', true, 's', '{}');
SELECT mqtt.verify_function('bridge.gauges()', true, 's', '{mqtt_bridge}');
SELECT mqtt.verify_function('bridge.status()', true, 's', '{mqtt_bridge}');
ROLLBACK;

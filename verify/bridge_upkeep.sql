-- Verify topicbase:bridge_upkeep on pg
BEGIN;
SELECT mqtt.verify_function('bridge.run_upkeep()', true, 'v', '{mqtt_bridge}');
ROLLBACK;

-- Verify topicbase:bridge/sleep on pg
BEGIN;
SELECT mqtt.verify_function('bridge.sleep(text)', true, 'v', '{mqtt_bridge}');
SELECT mqtt.verify_function('bridge.wake(text)', true, 'v', '{mqtt_bridge}');
ROLLBACK;

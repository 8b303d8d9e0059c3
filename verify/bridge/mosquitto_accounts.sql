-- Verify topicbase:bridge/mosquitto_accounts on pg
BEGIN;
SELECT mqtt.verify_function('bridge.mosquitto_accounts(text)', true, 's', '{mqtt_bridge}');
ROLLBACK;

-- Verify topicbase:bridge/subscriptions on pg
BEGIN;
SELECT mqtt.verify_function('bridge.subscriptions(uuid, text)', true, 's', '{mqtt_bridge}');
SELECT mqtt.verify_function('bridge.subscription_results(uuid, uuid [], smallint [], text [])', true, 'v', '{mqtt_bridge}');
SELECT mqtt.verify_function('bridge.integration_states(uuid, uuid [], text [], text [])', true, 'v', '{mqtt_bridge}');
ROLLBACK;

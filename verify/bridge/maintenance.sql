-- Verify topicbase:bridge/maintenance on pg
BEGIN;
SELECT mqtt.verify_function('bridge.check_capacity(uuid)', true, 'v', '{mqtt_bridge}');
SELECT mqtt.verify_function('bridge.run_periodic_tasks()', true, 'v', '{mqtt_bridge}');
SELECT mqtt.verify_function('bridge.apply_retention()', true, 'v', '{mqtt_bridge}');
SELECT mqtt.verify_function('bridge.roll_up_readings()', true, 'v', '{mqtt_bridge}');
SELECT mqtt.verify_function('bridge.pack_days()', true, 'v', '{mqtt_bridge}');
SELECT mqtt.verify_function('bridge.work_deletions()', true, 'v', '{mqtt_bridge}');
ROLLBACK;

-- Verify topicbase:bridge/diagnose on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.surplus_privileges(name)', true, 's', '{}');
SELECT mqtt.verify_function('mqtt.days_without_partition()', true, 's', '{}');
SELECT mqtt.verify_function('mqtt.maintenance_jobs()', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.deployed_changes()', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.present_functions()', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.archive_state()', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.rollup_state()', true, 's', '{}');
SELECT mqtt.verify_function('bridge.diagnose()', true, 'v', '{mqtt_bridge}');
ROLLBACK;

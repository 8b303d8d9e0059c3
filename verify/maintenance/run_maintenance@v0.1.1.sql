-- Verify topicbase:maintenance/run_maintenance on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.check_health()', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.log_expired_credentials()', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.run_periodic_tasks()', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.try_maintenance_lock()', false, 'v', '{}');
SELECT mqtt.verify_function('mqtt.try_maintenance(text)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.run_maintenance()', true, 'v', '{}');
ROLLBACK;

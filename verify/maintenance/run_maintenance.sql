-- Verify topicbase:maintenance/run_maintenance on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.watch()', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.log_expired_credentials()', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.keep_house()', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.is_my_turn()', false, 'v', '{}');
SELECT mqtt.verify_function('mqtt.upkeep()', true, 'v', '{}');
ROLLBACK;

-- Verify topicbase:maintenance/retention on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.note_retention()', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.expired_days()', true, 's', '{}');
SELECT mqtt.verify_function('mqtt.drop_expired_days()', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.apply_retention(integer)', true, 'v', '{}');
ROLLBACK;

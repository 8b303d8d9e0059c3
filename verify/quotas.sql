-- Verify topicbase:quotas on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.quota_buckets', '{}', '{}');
SELECT mqtt.verify_function('mqtt.refuse_for_now(text, text, text, integer)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.require_room(uuid, text)', true, 's', '{}');
SELECT mqtt.verify_function('mqtt.take_tokens(uuid, numeric, integer, integer)', true, 'v', '{}');
ROLLBACK;

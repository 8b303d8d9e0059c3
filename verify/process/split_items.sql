-- Verify topicbase:process/split_items on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.split_item(tid, integer[])', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.split_items(tid[])', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.cut_items(tid[], jsonb)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.item_of(bigint)', true, 's', '{}');
SELECT mqtt.verify_function('mqtt.is_pending(bigint)', true, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.isolate_message(bigint)', true, 'v', '{}');
ROLLBACK;

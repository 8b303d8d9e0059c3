-- Revert topicbase:process/split_items from pg
BEGIN;
DROP FUNCTION mqtt.isolate_message(bigint);
DROP FUNCTION mqtt.is_pending(bigint);
DROP FUNCTION mqtt.item_of(bigint);
DROP FUNCTION mqtt.split_items(tid []);
DROP FUNCTION mqtt.cut_items(tid [], jsonb);
DROP FUNCTION mqtt.split_item(tid, integer []);
COMMIT;

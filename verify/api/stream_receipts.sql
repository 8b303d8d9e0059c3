-- Verify topicbase:api/stream_receipts on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.queued_receipts(uuid,timestamptz,xid,integer)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.stream_receipts(integer[],timestamptz[],text,text[],integer)', true, 's', '{}');
ROLLBACK;

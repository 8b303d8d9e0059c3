-- Revert topicbase:api/stream_receipts from pg
BEGIN;
DROP FUNCTION mqtt.stream_receipts(integer [], timestamptz [], text, text [], integer);
DROP FUNCTION mqtt.queued_receipts(uuid, timestamptz, xid, integer);
COMMIT;

-- Revert topicbase:maintenance/drop_packed_rows from pg
BEGIN;
DROP FUNCTION mqtt.drop_packed_rows();
DROP FUNCTION mqtt.is_seen_by_all(xid8, timestamptz);
COMMIT;

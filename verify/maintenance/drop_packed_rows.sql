-- Verify topicbase:maintenance/drop_packed_rows on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.is_seen_by_all(xid8, timestamptz)', true, 's', '{}');
SELECT mqtt.verify_function('mqtt.drop_packed_rows()', true, 'v', '{}');
ROLLBACK;

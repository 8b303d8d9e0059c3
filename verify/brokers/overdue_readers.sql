-- Verify topicbase:brokers/overdue_readers on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.end_overdue_readers()', true, 'v', '{}');
ROLLBACK;

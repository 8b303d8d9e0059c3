-- Verify topicbase:brokers/raw_body on pg
BEGIN;
SELECT 'api."*/*"'::regtype;
ROLLBACK;

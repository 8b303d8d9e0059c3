-- Verify topicbase:readings/schema on pg
BEGIN;
DO $$
BEGIN
    IF NOT has_schema_privilege('topicbase_reader', 'readings', 'usage') OR has_schema_privilege('topicbase_reader', 'mqtt', 'usage')
        OR has_schema_privilege('topicbase_reader', 'api', 'usage') THEN
        RAISE EXCEPTION 'topicbase_reader: must read schema readings and nothing else';
    END IF;
END;
$$;
ROLLBACK;

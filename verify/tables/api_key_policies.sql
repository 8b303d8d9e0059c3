-- Verify topicbase:tables/api_key_policies on pg
BEGIN;
SELECT 1 / count(*) FROM pg_catalog.pg_policy WHERE polname = 'api_keys' AND polrelid = 'mqtt.topics'::regclass AND NOT polpermissive;
ROLLBACK;

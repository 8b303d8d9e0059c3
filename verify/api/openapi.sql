-- Verify topicbase:api/openapi on pg
BEGIN;
SELECT mqtt.verify_function(f, true, 's', '{anon,authenticated,service_role}') FROM unnest(ARRAY['api.openapi()', 'api.get_api_version()']::regprocedure []) AS f;
ROLLBACK;

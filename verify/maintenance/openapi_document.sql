-- Verify topicbase:maintenance/openapi_document on pg
BEGIN;
SELECT mqtt.verify_function(f, false, 's', '{}')
FROM unnest(ARRAY['mqtt.openapi_parts()', 'mqtt.render_openapi(name [])', 'mqtt.api_fingerprint()']::regprocedure []) AS f;
SELECT mqtt.verify_function('mqtt.openapi_components()', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.refresh_openapi()', false, 'v', '{}');
ROLLBACK;

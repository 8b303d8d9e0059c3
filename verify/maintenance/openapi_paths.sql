-- Verify topicbase:maintenance/openapi_paths on pg
BEGIN;
SELECT mqtt.verify_function(f, false, 's', '{}')
FROM unnest(ARRAY[
    'mqtt.argument_schemas(oid)', 'mqtt.openapi_body(pg_catalog.pg_proc)', 'mqtt.openapi_query(oid)', 'mqtt.said_slugs()',
    'mqtt.openapi_answers(pg_catalog.pg_proc, jsonb)', 'mqtt.openapi_call(pg_catalog.pg_proc, jsonb)', 'mqtt.openapi_view(oid)'
]::regprocedure []) AS f;
SELECT mqtt.verify_function('mqtt.openapi_answer(text, jsonb)', false, 'i', '{}');
ROLLBACK;

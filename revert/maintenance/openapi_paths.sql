-- Revert topicbase:maintenance/openapi_paths from pg
BEGIN;
DROP FUNCTION mqtt.openapi_view(oid);
DROP FUNCTION mqtt.openapi_call(pg_catalog.pg_proc, jsonb);
DROP FUNCTION mqtt.openapi_answers(pg_catalog.pg_proc, jsonb);
DROP FUNCTION mqtt.openapi_answer(text, jsonb);
DROP FUNCTION mqtt.said_slugs();
DROP FUNCTION mqtt.openapi_query(oid);
DROP FUNCTION mqtt.openapi_body(pg_catalog.pg_proc);
DROP FUNCTION mqtt.argument_schemas(oid);
COMMIT;

-- Revert topicbase:maintenance/openapi_document from pg
BEGIN;
DROP FUNCTION mqtt.refresh_openapi();
DROP FUNCTION mqtt.api_fingerprint();
DROP FUNCTION mqtt.render_openapi(name []);
DROP FUNCTION mqtt.openapi_parts();
DROP FUNCTION mqtt.openapi_components();
DROP FUNCTION mqtt.openapi_view(oid);
DROP FUNCTION mqtt.openapi_call(pg_catalog.pg_proc, jsonb);
DROP FUNCTION mqtt.openapi_answers(pg_catalog.pg_proc, jsonb);
DROP FUNCTION mqtt.said_slugs();
DROP FUNCTION mqtt.openapi_query(oid);
DROP FUNCTION mqtt.openapi_body(pg_catalog.pg_proc);
DROP FUNCTION mqtt.argument_schemas(oid);
DROP FUNCTION mqtt.api_version();
COMMIT;

-- Revert topicbase:maintenance/openapi_document from pg
BEGIN;
DROP FUNCTION mqtt.refresh_openapi();
DROP FUNCTION mqtt.api_fingerprint();
DROP FUNCTION mqtt.render_openapi(name []);
DROP FUNCTION mqtt.openapi_parts();
DROP FUNCTION mqtt.openapi_components();
COMMIT;

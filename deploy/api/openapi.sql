-- Deploy topicbase:api/openapi to pg
-- requires: brokers/raw_body
-- requires: integrations/access
-- requires: maintenance/openapi_document
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION api.get_api_version() RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_build_object('version', mqtt.api_version());
$$;
COMMENT ON FUNCTION api.get_api_version() IS
$md$Tell the version of the API

For anyone, without a login. It is the release of Topicbase (semantic versioning), as in `info.version` of the OpenAPI document.
Answer: {"version": "text"}$md$;
GRANT EXECUTE ON FUNCTION api.get_api_version() TO anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION api.openapi() RETURNS api."*/*"
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_role CONSTANT name := CASE WHEN mqtt.is_operator() THEN 'service_role' ELSE current_setting('role') END;
    v_document text;
    v_accept CONSTANT text := nullif(current_setting('request.headers', true), '')::jsonb ->> 'accept';
BEGIN
    SELECT d.document INTO v_document FROM mqtt.openapi_documents AS d WHERE d.role = v_role AND d.fingerprint = mqtt.api_fingerprint();
    PERFORM set_config('response.headers', format(
        '[{"Content-Type": "%s; charset=utf-8"}, {"Cache-Control": "private, max-age=60"}, {"Vary": "Authorization"}]',
        CASE WHEN v_accept LIKE '%application/openapi+json%' THEN 'application/openapi+json' ELSE 'application/json' END
    ), true);
    RETURN coalesce(v_document, (SELECT d.document::text FROM mqtt.render_openapi(ARRAY[v_role]) AS d));
END;
$$;
COMMENT ON FUNCTION api.openapi() IS
$md$Describe the API, as OpenAPI 3.1

What `GET /` answers: every call and view that your login may use, with requests, answers, examples and errors.
Answer: "object"$md$;
GRANT EXECUTE ON FUNCTION api.openapi() TO anon, authenticated, service_role;

-- Whatever comes after this in the plan is in the document once maintenance has run; until then it is made for each who asks.
DO $$ BEGIN PERFORM mqtt.refresh_openapi(); END $$;
COMMIT;

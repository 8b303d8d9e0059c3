-- Deploy topicbase:base/refuse_for_now to pg
-- requires: base/verify_helpers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.refuse_for_now(status text, slug text, detail text, wait_seconds integer) RETURNS void
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- PostgREST's own SQLSTATE: the only way for an error to carry a header.
    RAISE EXCEPTION USING
        ERRCODE = 'PGRST',
        MESSAGE = jsonb_build_object(
            'code', 'PT' || status, 'message', slug, 'details', detail, 'hint', format('Try again in %s seconds; nothing of this call was taken.', wait_seconds)
        ),
        DETAIL = jsonb_build_object('status', status::integer, 'headers', jsonb_build_object('Retry-After', wait_seconds::text));
END;
$$;
COMMENT ON FUNCTION mqtt.refuse_for_now(text, text, text, integer) IS 'Raises an error that PostgREST answers with that HTTP status and Retry-After (RFC 9110 section 10.2.3).';
COMMIT;

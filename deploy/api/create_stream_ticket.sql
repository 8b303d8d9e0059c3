-- Deploy topicbase:api/create_stream_ticket to pg
-- requires: base/passwords
-- requires: tables/stream_tickets
-- requires: tenants/membership
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION api.create_stream_ticket() RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_claims CONSTANT jsonb := nullif(current_setting('request.jwt.claims', true), '')::jsonb;
    v_ticket CONSTANT text := mqtt.random_password();
    v_expires_at CONSTANT timestamptz := clock_timestamp() + interval '30 seconds';
BEGIN
    DELETE FROM mqtt.stream_tickets AS t WHERE t.expires_at < clock_timestamp();
    INSERT INTO mqtt.stream_tickets (hash, claims, expires_at)
    VALUES (
        sha256(convert_to(v_ticket, 'UTF8')),
        jsonb_strip_nulls(jsonb_build_object(
            'role', CASE WHEN mqtt.is_service() THEN 'service_role' ELSE 'authenticated' END, 'sub', mqtt.current_user_id(), 'exp', v_claims -> 'exp'
        )),
        v_expires_at
    );
    PERFORM set_config('response.headers', '[{"Cache-Control": "no-store"}]', true);
    RETURN jsonb_build_object('ticket', v_ticket, 'expires_at', v_expires_at);
END;
$$;
COMMENT ON FUNCTION api.create_stream_ticket() IS
$md$Create a ticket for the live stream

For a browser's EventSource, which cannot send a token in a header: open `/stream?ticket=…` with it. It works once, within 30 seconds; the
stream then shows what your token would, until that expires.
Answer: {"ticket": "text", "expires_at": "time"}$md$;
GRANT EXECUTE ON FUNCTION api.create_stream_ticket() TO authenticated, service_role;

CREATE OR REPLACE FUNCTION mqtt.redeem_stream_ticket(ticket text) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_claims jsonb;
BEGIN
    DELETE FROM mqtt.stream_tickets AS t
    WHERE t.hash = sha256(convert_to(ticket, 'UTF8')) AND t.expires_at > clock_timestamp()
    RETURNING t.claims INTO v_claims;
    IF NOT found THEN
        RAISE EXCEPTION 'ticket_invalid' USING
            ERRCODE = 'PT401', DETAIL = 'The ticket is unknown, expired or used.', HINT = 'POST /rpc/create_stream_ticket makes a new one.';
    END IF;
    RETURN v_claims;
END;
$$;
COMMENT ON FUNCTION mqtt.redeem_stream_ticket(text) IS 'The claims behind a ticket, which is used up. Errors: PT401 `ticket_invalid`.';
GRANT EXECUTE ON FUNCTION mqtt.redeem_stream_ticket(text) TO topicbase_stream;
COMMIT;

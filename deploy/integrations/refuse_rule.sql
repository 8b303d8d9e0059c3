-- Deploy topicbase:integrations/refuse_rule to pg
-- requires: base/verify_helpers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.refuse_rule(place text, reason text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF reason IS NOT NULL THEN
        RAISE EXCEPTION 'payload_rule_invalid' USING
            ERRCODE = 'PT400', DETAIL = format('%s %s.', place, rtrim(reason, '.')), HINT = 'try_payload_rules shows what the rules make of a message.';
    END IF;
END;
$$;
COMMENT ON FUNCTION mqtt.refuse_rule(text, text) IS 'Raises PT400 payload_rule_invalid if there is a reason.';
GRANT EXECUTE ON FUNCTION mqtt.refuse_rule(text, text) TO authenticated, service_role;
COMMIT;

-- Deploy topicbase:ingest/session_quotas to pg
-- requires: base/refuse_for_now
-- requires: ingest/device_session
-- requires: ingest/quotas
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.take_quota(session mqtt.device_session, wanted integer) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_granted integer := wanted;
BEGIN
    IF session.credential_rate IS NOT NULL THEN
        v_granted := mqtt.take_tokens(session.credential_id, session.credential_rate, session.credential_burst, v_granted);
    END IF;
    IF session.organization_rate IS NOT NULL AND v_granted > 0 THEN
        v_granted := mqtt.take_tokens(session.organization_id, session.organization_rate, session.organization_burst, v_granted);
    END IF;
    RETURN v_granted;
END;
$$;
COMMENT ON FUNCTION mqtt.take_quota(mqtt.device_session, integer) IS 'How many of so many messages the quotas of the credential and of its organization allow now.';

CREATE OR REPLACE FUNCTION mqtt.require_bytes(session mqtt.device_session, bytes bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_wait CONSTANT integer := mqtt.take_bytes(session.organization_id, session.organization_bytes, bytes);
BEGIN
    IF v_wait > 0 THEN
        PERFORM mqtt.refuse_for_now('429', 'quota_exceeded', 'More bytes a second than the organization may send.', v_wait);
    END IF;
END;
$$;
COMMENT ON FUNCTION mqtt.require_bytes(mqtt.device_session, bigint) IS
'Counts bytes of messages against what the organization may send a second. Raises 429 quota_exceeded while it has sent more.';

CREATE OR REPLACE FUNCTION mqtt.quota_wait(session mqtt.device_session) RETURNS integer
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT least(3600, greatest(1, ceil(1 / least(session.credential_rate, session.organization_rate))))::integer;
END;
COMMENT ON FUNCTION mqtt.quota_wait(mqtt.device_session) IS 'Seconds after which at least one message is allowed again; at least 1.';
COMMIT;

-- Deploy topicbase:ingest/wrong_passwords to pg
-- requires: ingest/device_login
-- requires: tables/log_activity
-- requires: tables/wrong_passwords
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.count_wrong_password(username text) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_bucket CONSTANT integer := hashtext(coalesce(username, '')) & 16383;
    v_now CONSTANT timestamptz := clock_timestamp();
    v_most CONSTANT integer := (SELECT k.max_wrong_passwords FROM mqtt.configuration AS k);
    v_row mqtt.wrong_passwords;
BEGIN
    IF (username ~ '^[A-Za-z0-9_.-]{1,64}$') IS NOT TRUE THEN
        RETURN 0;  -- no login has such a name: there is nothing to guess
    END IF;
    SELECT w.* INTO v_row FROM mqtt.wrong_passwords AS w WHERE w.bucket = v_bucket;
    IF v_row.tries > v_most AND v_row.since > v_now - interval '1 minute' THEN
        -- A storm writes nothing more.
        RETURN ceil(extract(EPOCH FROM v_row.since + interval '1 minute' - v_now));
    END IF;
    IF v_row.bucket IS NULL THEN
        INSERT INTO mqtt.wrong_passwords AS w (bucket, since, tries) VALUES (v_bucket, v_now, 0) ON CONFLICT DO NOTHING;
    END IF;
    SELECT w.* INTO v_row FROM mqtt.wrong_passwords AS w WHERE w.bucket = v_bucket FOR UPDATE SKIP LOCKED;
    IF NOT found THEN
        RETURN 1;  -- another wrong password for it at this very moment
    END IF;
    IF v_row.since <= v_now - interval '1 minute' THEN
        v_row.since := v_now;
        v_row.tries := 0;
    END IF;
    v_row.tries := v_row.tries + 1;
    UPDATE mqtt.wrong_passwords AS w SET since = v_row.since, tries = v_row.tries WHERE w.bucket = v_bucket;
    IF v_row.tries <= v_most THEN
        RETURN 0;
    END IF;
    -- Once: who has looked before this count was committed comes after it.
    PERFORM mqtt.log_activity(
        c.organization_id, c.integration_id, 'wrong_passwords', 'failed',
        jsonb_build_object('credential_id', c.id, 'username', c.username, 'tries', v_row.tries, 'since', v_row.since)
    )
    FROM mqtt.mqtt_credentials AS c
    WHERE c.username = count_wrong_password.username AND v_row.tries = v_most + 1;
    RETURN ceil(extract(EPOCH FROM v_row.since + interval '1 minute' - v_now));
END;
$$;
COMMENT ON FUNCTION mqtt.count_wrong_password(text) IS
'Counts a wrong password; answers 0, or in how many seconds the next one may be tried where there were too many in a minute, which the activity log then tells once. Never waits.';

CREATE OR REPLACE FUNCTION mqtt.answer_wrong_login(session mqtt.device_session) RETURNS json
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_wait integer;
BEGIN
    IF session.fault <> 'invalid_credentials' THEN
        PERFORM mqtt.refuse_login(session.fault, session.fault_detail);
    END IF;
    v_wait := mqtt.count_wrong_password(session.username);
    -- An error would roll the count back; so this is an answer that looks like one.
    IF v_wait > 0 THEN
        PERFORM set_config('response.status', '429', true);
        PERFORM set_config('response.headers', format('[{"Retry-After": "%s"}]', v_wait), true);
        RETURN json_build_object(
            'code', 'PT429', 'message', 'too_many_wrong_passwords',
            'details', 'Username, password and client id do not name a credential that is valid now, and too many others for this username did not either.',
            'hint', format('The right password works at any time; another wrong one is answered this way for %s more seconds.', v_wait)
        );
    END IF;
    PERFORM set_config('response.status', '401', true);
    RETURN json_build_object(
        'code', 'PT401', 'message', 'invalid_credentials',
        'details', 'Username, password and client id do not name a credential that is valid now.',
        'hint', 'Send Authorization: Basic base64(username:password), or X-Username and X-Password, and X-Client-ID as they were issued.'
    );
END;
$$;
COMMENT ON FUNCTION mqtt.answer_wrong_login(mqtt.device_session) IS
'The answer to a login that could not be placed, with its status: 401 invalid_credentials, or 429 too_many_wrong_passwords with Retry-After; raises what else is the matter with a session (mqtt.refuse_login).';
COMMIT;

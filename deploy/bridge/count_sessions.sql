-- Deploy topicbase:bridge/count_sessions to pg
-- requires: brokers/logins
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION bridge.count_sessions(usernames text [], counts bigint [], last_at double precision []) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_credential mqtt.mqtt_credentials;
    v_ids uuid [];
    v_counts bigint [];
    v_last_at timestamptz [];
BEGIN
    SELECT array_agg(c.id ORDER BY c.id), array_agg(s.n ORDER BY c.id), array_agg(to_timestamp(s.at) ORDER BY c.id)
    INTO v_ids, v_counts, v_last_at
    FROM unnest(usernames, counts, count_sessions.last_at) AS s (username, n, at)
    JOIN mqtt.mqtt_credentials AS c ON c.username = s.username
    JOIN mqtt.broker_integrations AS i ON i.organization_id = c.organization_id AND i.id = c.integration_id
    WHERE i.is_hosted AND s.n > 0;
    IF v_ids IS NULL THEN
        RETURN 0;
    END IF;
    PERFORM mqtt.count_sessions(v_ids, v_counts, v_last_at);
    FOR v_credential IN SELECT c.* FROM mqtt.mqtt_credentials AS c WHERE c.id = ANY (v_ids) AND c.broker_login_at IS NULL ORDER BY c.id LOOP
        PERFORM mqtt.note_first_login(v_credential);
    END LOOP;
    RETURN cardinality(v_ids);
END;
$$;
COMMENT ON FUNCTION bridge.count_sessions(text [], bigint [], double precision []) IS
'Counts sessions that the hosted Mosquitto had: how many of each login, each named once, and when the last began, in seconds since 1970. Returns of how many logins.';
GRANT EXECUTE ON FUNCTION bridge.count_sessions(text [], bigint [], double precision []) TO mqtt_bridge;
COMMIT;

-- Deploy topicbase:broker_schema to pg
-- requires: broker_rules
-- requires: crypto
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
CREATE SCHEMA broker AUTHORIZATION mqtt_owner;
COMMENT ON SCHEMA broker IS 'Views for brokers that look devices up in the database themselves; each has a login role that reads its own views and nothing else.';
-- Cluster-wide: created where missing, never dropped. They may log in once the operator gives them a password.
DO $$
DECLARE
    v_role text;
BEGIN
    FOREACH v_role IN ARRAY '{rabbitmq_reader,emqx_reader,vernemq_reader,go_auth_reader}'::text [] LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = v_role) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', v_role);
        END IF;
        EXECUTE format('ALTER ROLE %I SET statement_timeout = %L', v_role, '10s');
        EXECUTE format('ALTER ROLE %I SET default_transaction_read_only = on', v_role);
        EXECUTE format('ALTER ROLE %I IN DATABASE %I SET search_path = broker', v_role, pg_catalog.current_database());
        EXECUTE format('GRANT USAGE ON SCHEMA broker TO %I', v_role);
    END LOOP;
END;
$$;
SET LOCAL ROLE mqtt_owner;
CREATE FUNCTION mqtt.is_valid_now(credential mqtt.mqtt_credentials) RETURNS boolean
LANGUAGE sql STABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT (credential).revoked_at IS NULL AND ((credential).expires_at > now()) IS NOT FALSE;
END;
COMMENT ON FUNCTION mqtt.is_valid_now(mqtt.mqtt_credentials) IS 'Whether a credential is neither revoked nor expired.';

CREATE FUNCTION mqtt.has_placeholder(filter text) RETURNS boolean
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT filter ~ '%[cmu]|\$\{';
END;
COMMENT ON FUNCTION mqtt.has_placeholder(text) IS
'Whether a broker would put something in place of a part of the filter (%c, %m, %u, ${…}), which is often what a client says of itself: such a rule is not exported.';

CREATE FUNCTION mqtt.lets_hash_slip(filter text) RETURNS boolean
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT filter ~ '(^|/)\+(/#)?$';
END;
COMMENT ON FUNCTION mqtt.lets_hash_slip(text) IS
'Whether a broker that matches a subscription like a topic, level by level, would take a # in it for what the last + of the filter allows: a/+ would let a/# in.';

-- In a view the functions are the reader's to call. These compute on what they are given, and mqtt stays closed to the readers by name.
GRANT EXECUTE ON FUNCTION mqtt.is_valid_now(mqtt.mqtt_credentials), mqtt.has_placeholder(text), mqtt.lets_hash_slip(text),
mqtt.access_rules(mqtt.mqtt_credentials), mqtt.topic_is_under(text, text), mqtt.topic_filter_error(text),
mqtt.topic_name_error(text), mqtt.has_forbidden_character(text) TO rabbitmq_reader, emqx_reader, vernemq_reader, go_auth_reader;

CREATE FUNCTION mqtt.verify_broker_view(checked regclass, readers text []) RETURNS void
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_class pg_catalog.pg_class;
    v_readers text [];
BEGIN
    SELECT * INTO STRICT v_class FROM pg_catalog.pg_class WHERE oid = checked;
    IF v_class.relowner <> 'mqtt_owner'::regrole OR v_class.relkind <> 'v' OR (v_class.reloptions @> ARRAY['security_barrier=true']) IS NOT TRUE THEN
        RAISE EXCEPTION '%: must be a security_barrier view of mqtt_owner', checked;
    END IF;
    SELECT coalesce(array_agg(concat(a.grantee::regrole, ' ', a.privilege_type) ORDER BY concat(a.grantee::regrole, ' ', a.privilege_type)), '{}') INTO v_readers
    FROM aclexplode(v_class.relacl) AS a
    WHERE a.grantee <> v_class.relowner;
    IF v_readers <> ARRAY(SELECT r || ' SELECT' FROM unnest(readers) AS r ORDER BY 1) THEN
        RAISE EXCEPTION '%: read by %, must be by %', checked, v_readers, readers;
    END IF;
END;
$$;
COMMENT ON FUNCTION mqtt.verify_broker_view(regclass, text []) IS
'Raises unless the view belongs to mqtt_owner, is a security barrier and is readable by just these roles; for verify scripts.';

CREATE VIEW broker.ended_credentials WITH (security_barrier = true) AS
SELECT c.username, c.client_id, e.ended_at, e.reason
FROM mqtt.mqtt_credentials AS c
INNER JOIN mqtt.device_integrations AS i ON i.organization_id = c.organization_id AND i.id = c.integration_id
CROSS JOIN LATERAL (
    VALUES (c.revoked_at, 'revoked'), (c.expires_at, 'expired'), (greatest(c.rotated_at, c.previous_until), 'rotated')
) AS e (ended_at, reason)
WHERE i.integration_type = 'mqtt_hosted' AND e.ended_at BETWEEN now() - interval '7 days' AND now();
COMMENT ON VIEW broker.ended_credentials IS
'Logins that ended in the last 7 days: a broker that asks only at login has to be told to cut the sessions that they still have.';
COMMENT ON COLUMN broker.ended_credentials.username IS 'Whose sessions to cut';
COMMENT ON COLUMN broker.ended_credentials.client_id IS 'The MQTT client id of that session';
COMMENT ON COLUMN broker.ended_credentials.ended_at IS 'Sessions that began before then are to be cut';
COMMENT ON COLUMN broker.ended_credentials.reason IS 'revoked, expired or rotated (the old password has ended; with the new one it may log in again)';
GRANT SELECT ON broker.ended_credentials TO rabbitmq_reader, emqx_reader, vernemq_reader, go_auth_reader;
COMMIT;

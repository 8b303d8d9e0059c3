-- Deploy topicbase:brokers/view_rules to pg
-- requires: brokers/access_rules
-- requires: brokers/schema
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.is_valid_now(credential mqtt.mqtt_credentials) RETURNS boolean
LANGUAGE sql STABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT (credential).revoked_at IS NULL AND ((credential).expires_at > now()) IS NOT FALSE;
END;
COMMENT ON FUNCTION mqtt.is_valid_now(mqtt.mqtt_credentials) IS 'Whether a credential is neither revoked nor expired.';

CREATE OR REPLACE FUNCTION mqtt.has_placeholder(filter text) RETURNS boolean
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT filter ~ '%[cmu]|\$\{';
END;
COMMENT ON FUNCTION mqtt.has_placeholder(text) IS
'Whether a broker would replace a part of the filter (%c, %m, %u, ${…}), often with something that the client itself chose: such a rule is not exported.';

CREATE OR REPLACE FUNCTION mqtt.admits_hash(filter text) RETURNS boolean
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT filter ~ '(^|/)\+(/#)?$';
END;
COMMENT ON FUNCTION mqtt.admits_hash(text) IS
'Whether a broker that matches subscriptions level by level, like topics, would let the last + of the filter match a #: a/+ would allow a/#.';

-- The reader of a view needs EXECUTE on its functions. These only compute on their arguments, and without USAGE the readers cannot name anything in mqtt.
GRANT EXECUTE ON FUNCTION mqtt.is_valid_now(mqtt.mqtt_credentials), mqtt.has_placeholder(text), mqtt.admits_hash(text),
mqtt.access_rules(mqtt.mqtt_credentials), mqtt.topic_is_under(text, text), mqtt.topic_filter_reason(text),
mqtt.topic_name_reason(text), mqtt.is_plain_topic(text), mqtt.has_forbidden_character(text) TO rabbitmq_reader, emqx_reader, vernemq_reader, go_auth_reader;

CREATE OR REPLACE FUNCTION mqtt.verify_broker_view(checked regclass, readers text []) RETURNS void
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
'For verify scripts: raises unless the view belongs to mqtt_owner, is a security barrier and can be read by exactly these roles.';
COMMIT;

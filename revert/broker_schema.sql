-- Revert topicbase:broker_schema from pg
BEGIN;
-- The roles stay, as roles do: other databases of the cluster may use them.
DROP VIEW broker.ended_credentials;
DROP FUNCTION mqtt.verify_broker_view(regclass, text []);
DROP FUNCTION mqtt.lets_hash_slip(text);
DROP FUNCTION mqtt.has_placeholder(text);
DROP FUNCTION mqtt.is_valid_now(mqtt.mqtt_credentials);
REVOKE EXECUTE ON FUNCTION mqtt.access_rules(mqtt.mqtt_credentials), mqtt.topic_is_under(text, text), mqtt.topic_filter_error(text),
mqtt.topic_name_error(text), mqtt.has_forbidden_character(text) FROM rabbitmq_reader, emqx_reader, vernemq_reader, go_auth_reader;
DO $$
DECLARE
    v_role text;
BEGIN
    FOREACH v_role IN ARRAY '{rabbitmq_reader,emqx_reader,vernemq_reader,go_auth_reader}'::text [] LOOP
        EXECUTE format('ALTER ROLE %I IN DATABASE %I RESET search_path', v_role, pg_catalog.current_database());
    END LOOP;
END;
$$;
DROP SCHEMA broker;
COMMIT;

-- Verify topicbase:brokers/schema on pg
BEGIN;
DO $$
DECLARE
    v_role text;
BEGIN
    FOREACH v_role IN ARRAY '{rabbitmq_reader,emqx_reader,vernemq_reader,go_auth_reader}'::text [] LOOP
        IF NOT has_schema_privilege(v_role, 'broker', 'usage') OR has_schema_privilege(v_role, 'mqtt', 'usage')
            OR has_schema_privilege(v_role, 'api', 'usage') OR has_table_privilege(v_role, 'mqtt.mqtt_credentials', 'select') THEN
            RAISE EXCEPTION '%: must read schema broker and nothing else', v_role;
        END IF;
    END LOOP;
END;
$$;
ROLLBACK;

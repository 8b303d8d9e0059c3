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
        IF (SELECT r.rolconnlimit FROM pg_catalog.pg_roles AS r WHERE r.rolname = v_role) < 0 OR NOT pg_has_role('mqtt_owner', v_role, 'usage') THEN
            RAISE EXCEPTION '%: must have a connection limit, and mqtt_owner be able to end its sessions', v_role;
        END IF;
    END LOOP;
END;
$$;
ROLLBACK;

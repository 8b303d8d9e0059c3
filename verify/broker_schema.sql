-- Verify topicbase:broker_schema on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.is_valid_now(mqtt.mqtt_credentials)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.has_placeholder(text)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.lets_hash_slip(text)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.verify_broker_view(regclass, text[])', false, 's', '{}');
SELECT mqtt.verify_broker_view('broker.ended_credentials', '{emqx_reader,go_auth_reader,rabbitmq_reader,vernemq_reader}');
DO $$
DECLARE
    v_role text;
BEGIN
    FOREACH v_role IN ARRAY '{rabbitmq_reader,emqx_reader,vernemq_reader,go_auth_reader}'::text [] LOOP
        IF NOT has_table_privilege(v_role, 'broker.ended_credentials', 'select') OR NOT has_schema_privilege(v_role, 'broker', 'usage')
            OR has_schema_privilege(v_role, 'mqtt', 'usage') OR has_schema_privilege(v_role, 'api', 'usage')
            OR has_table_privilege(v_role, 'mqtt.mqtt_credentials', 'select') THEN
            RAISE EXCEPTION '%: must read schema broker and nothing else', v_role;
        END IF;
    END LOOP;
END;
$$;
ROLLBACK;

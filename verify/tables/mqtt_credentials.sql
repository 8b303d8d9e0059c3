-- Verify topicbase:tables/mqtt_credentials on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.mqtt_credentials', '{SELECT}', '{SELECT}');
DO $$
BEGIN
    IF has_column_privilege('authenticated', 'mqtt.mqtt_credentials', 'secret_hash', 'select')
        OR has_column_privilege('service_role', 'mqtt.mqtt_credentials', 'bcrypt_hash', 'select') THEN
        RAISE EXCEPTION 'a web role reads password hashes';
    END IF;
END;
$$;
ROLLBACK;

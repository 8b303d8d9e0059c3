-- Verify topicbase:publish/publishing on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.publish_inserted()', true, 'v', '{}');
SELECT mqtt.verify_table('mqtt.publishing', '{}', '{INSERT,SELECT}');
DO $$
BEGIN
    IF has_column_privilege('service_role', 'mqtt.publishing', 'caller', 'insert') THEN
        RAISE EXCEPTION 'mqtt.publishing: nobody may say who the caller is';
    END IF;
END;
$$;
ROLLBACK;

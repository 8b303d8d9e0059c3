-- Revert topicbase:cleanup from pg
BEGIN;
DROP FUNCTION api.cleanup_mqtt_queue();
DROP FUNCTION mqtt.cleanup(integer);
DROP FUNCTION mqtt.trim_small_tables(integer);
DROP FUNCTION mqtt.trim_rows(regclass, text, text, integer);
COMMIT;

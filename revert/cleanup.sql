-- Revert topicbase:cleanup from pg
BEGIN;
DROP FUNCTION mqtt.upkeep();
DROP FUNCTION mqtt.log_expired_credentials();
DROP FUNCTION mqtt.watch();
DROP FUNCTION api.cleanup_mqtt_queue();
DROP FUNCTION mqtt.cleanup();
DROP FUNCTION mqtt.trim_rows(regclass, text, text, integer);
COMMIT;

-- Revert topicbase:maintenance/run_maintenance from pg
BEGIN;
DROP FUNCTION mqtt.run_maintenance();
DROP FUNCTION mqtt.try_maintenance(text);
DROP FUNCTION mqtt.try_maintenance_lock();
DROP FUNCTION mqtt.run_periodic_tasks();
DROP FUNCTION mqtt.log_expired_credentials();
DROP FUNCTION mqtt.check_health();
COMMIT;

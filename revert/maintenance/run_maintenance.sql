-- Revert topicbase:maintenance/run_maintenance from pg
BEGIN;
DROP FUNCTION mqtt.upkeep();
DROP FUNCTION mqtt.is_my_turn();
DROP FUNCTION mqtt.keep_house();
DROP FUNCTION mqtt.log_expired_credentials();
DROP FUNCTION mqtt.watch();
COMMIT;

-- Revert topicbase:bridge/maintenance from pg
BEGIN;
DROP FUNCTION bridge.work_deletions();
DROP FUNCTION bridge.pack_days();
DROP FUNCTION bridge.roll_up_readings();
DROP FUNCTION bridge.apply_retention();
DROP FUNCTION bridge.run_periodic_tasks();
DROP FUNCTION bridge.check_capacity(uuid);
COMMIT;

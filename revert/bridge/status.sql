-- Revert topicbase:bridge/status from pg
BEGIN;
DROP FUNCTION bridge.status();
DROP FUNCTION bridge.gauges();
DROP FUNCTION mqtt.queue_depths();
COMMIT;

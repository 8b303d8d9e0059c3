-- Revert topicbase:bridge/hello from pg
BEGIN;
DROP FUNCTION bridge.end_bridge(uuid);
DROP FUNCTION bridge.heartbeat(uuid);
DROP FUNCTION bridge.hello(uuid, text, text, integer);
DROP FUNCTION mqtt.live_bridges(uuid);
COMMIT;

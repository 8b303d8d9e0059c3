-- Revert topicbase:bridge_hello from pg
BEGIN;
DROP FUNCTION bridge.wake(text);
DROP FUNCTION bridge.sleep(text);
DROP FUNCTION bridge.end_bridge(uuid);
DROP FUNCTION bridge.heartbeat(uuid);
DROP FUNCTION bridge.hello(uuid, text, text, integer);
DROP FUNCTION mqtt.live_bridges(uuid);
DROP FUNCTION mqtt.bridge_lock(uuid);
COMMIT;

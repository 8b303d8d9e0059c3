-- Revert topicbase:bridge/subscriptions from pg
BEGIN;
DROP FUNCTION bridge.integration_states(uuid, uuid [], text [], text []);
DROP FUNCTION bridge.subscription_results(uuid, uuid [], smallint [], text []);
DROP FUNCTION bridge.subscriptions(uuid, text);
COMMIT;

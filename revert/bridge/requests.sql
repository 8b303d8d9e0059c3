-- Revert topicbase:bridge/requests from pg
BEGIN;
DROP FUNCTION bridge.answer_request(uuid, jsonb, boolean);
DROP FUNCTION bridge.claim_requests(uuid, integer);
COMMIT;

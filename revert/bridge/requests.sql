-- Revert topicbase:bridge/requests from pg
BEGIN;
DROP FUNCTION bridge.answer_request(uuid, jsonb);
DROP FUNCTION bridge.claim_requests(uuid, integer);
COMMIT;

-- Revert topicbase:tables/outbound_batches from pg
BEGIN;
DROP TABLE mqtt.outbound_batches;
COMMIT;

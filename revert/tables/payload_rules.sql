-- Revert topicbase:tables/payload_rules from pg
BEGIN;
-- Loses the payload rules.
DROP TABLE mqtt.payload_rules;
COMMIT;

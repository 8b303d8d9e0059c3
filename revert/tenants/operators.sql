-- Revert topicbase:tenants/operators from pg: loses who is an operator
BEGIN;
DROP TABLE mqtt.operators;
COMMIT;

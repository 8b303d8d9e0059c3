-- Revert topicbase:readings/schema from pg
BEGIN;
-- The role stays, as roles do: other databases of the cluster may use it.
DROP SCHEMA readings;
COMMIT;

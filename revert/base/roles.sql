-- Revert topicbase:base/roles from pg
BEGIN;
-- Roles are shared by every database of the cluster and stay; nothing of this database is left to undo.
SELECT 1;
COMMIT;

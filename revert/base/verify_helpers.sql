-- Revert topicbase:base/verify_helpers from pg
BEGIN;
DROP FUNCTION mqtt.verify_table(regclass, text [], text []);
DROP FUNCTION mqtt.verify_function(regprocedure, boolean, text, text []);
COMMIT;

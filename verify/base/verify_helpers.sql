-- Verify topicbase:base/verify_helpers on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.verify_function(regprocedure, boolean, text, text[])', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.verify_table(regclass, text[], text[])', false, 's', '{}');
ROLLBACK;

-- Verify topicbase:base/argument_aliases on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.one_of(anyelement, anyelement, text, text)', false, 's', '{authenticated,service_role}');
ROLLBACK;

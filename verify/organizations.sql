-- Verify topicbase:organizations on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.organizations', '{SELECT}', '{SELECT}');
SELECT mqtt.verify_function('mqtt.longest_term(text)', true, 's', '{}');
ROLLBACK;

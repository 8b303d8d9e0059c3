-- Verify topicbase:tenants/longest_retention on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.longest_term(text)', true, 's', '{}');
ROLLBACK;

-- Verify topicbase:api/open_states on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.states_organizations(jsonb,text,uuid)', true, 's', '{}');
SELECT mqtt.verify_function('mqtt.open_states(jsonb,text,uuid,text,text,text[],uuid)', true, 's', '{}');
ROLLBACK;

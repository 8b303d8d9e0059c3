-- Revert topicbase:api/open_states from pg
BEGIN;
DROP FUNCTION mqtt.open_states(jsonb, text, uuid, text, text, text [], uuid);
DROP FUNCTION mqtt.states_organizations(jsonb, text, uuid);
COMMIT;

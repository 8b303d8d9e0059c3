-- Verify topicbase:integrations/api_keys on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.api_key_claims(text)', true, 's', '{anon}');
SELECT mqtt.verify_function('mqtt.call_scope(text)', false, 's', '{anon}');
SELECT mqtt.verify_function(f, false, 'v', '{anon}') FROM unnest(ARRAY['mqtt.note_api_key(jsonb)', 'mqtt.use_api_key(text, text)']::regprocedure []) AS f;
ROLLBACK;

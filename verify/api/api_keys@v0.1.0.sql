-- Verify topicbase:api/api_keys on pg
BEGIN;
SELECT mqtt.verify_function('api.list_api_keys(uuid)', true, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function(f, true, 'v', '{authenticated,service_role}')
FROM unnest(ARRAY['api.create_api_key(uuid, text, text, uuid [], timestamptz)', 'api.revoke_api_key(uuid)']::regprocedure []) AS f;
SELECT mqtt.verify_function('mqtt.check_api_key(uuid, text, text, uuid [], timestamptz)', false, 's', '{}');
ROLLBACK;

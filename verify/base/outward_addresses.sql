-- Verify topicbase:base/outward_addresses on pg
BEGIN;
SELECT mqtt.verify_function(f, false, 'i', '{authenticated,service_role}')
FROM unnest(ARRAY[
    'mqtt.is_private_address(inet)', 'mqtt.host_reason(text, boolean)', 'mqtt.url_parts(text)', 'mqtt.callback_url_reason(text, boolean)'
]::regprocedure []) AS f;
ROLLBACK;

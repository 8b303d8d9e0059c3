-- Verify topicbase:api/create_stream_ticket on pg
BEGIN;
SELECT mqtt.verify_function('api.create_stream_ticket()', true, 'v', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.redeem_stream_ticket(text)', true, 'v', '{}');
ROLLBACK;

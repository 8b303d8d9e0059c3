-- Verify topicbase:tables/pack_rows on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.one_for_all(anyarray)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.keyed_id(bigint, integer, integer, integer)', false, 'i', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.pack_of(mqtt.history [])', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.messages_of_pack(bigint)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.write_pack(mqtt.history [], integer)', false, 'v', '{}');
SELECT mqtt.verify_function('mqtt.take_from_pack(bigint, uuid [])', false, 'v', '{}');
SELECT mqtt.verify_function('mqtt.packed_topics(integer [], uuid)', true, 's', '{authenticated,service_role}');
SELECT mqtt.verify_table('mqtt.packed_history', '{SELECT}', '{SELECT}');
SELECT 1 / has_table_privilege('authenticated', 'mqtt.unread_runs', 'select')::integer;
SELECT 1 / has_table_privilege('authenticated', 'mqtt.days_in_packs', 'select')::integer;
ROLLBACK;

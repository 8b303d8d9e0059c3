-- Revert topicbase:tables/pack_rows from pg
BEGIN;
DROP FUNCTION mqtt.packed_topics(integer [], uuid);
DROP FUNCTION mqtt.take_from_pack(bigint, uuid []);
DROP FUNCTION mqtt.write_pack(mqtt.history [], integer);
DROP FUNCTION mqtt.messages_of_pack(bigint);
DROP VIEW mqtt.packed_history;
DROP VIEW mqtt.days_in_packs;
DROP VIEW mqtt.unread_runs;
DROP FUNCTION mqtt.pack_of(mqtt.history []);
DROP FUNCTION mqtt.keyed_id(bigint, integer, integer, integer);
DROP FUNCTION mqtt.one_for_all(anyarray);
COMMIT;

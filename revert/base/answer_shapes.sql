-- Revert topicbase:base/answer_shapes from pg
BEGIN;
DROP FUNCTION mqtt.shape_schema(jsonb);
DROP FUNCTION mqtt.word_schema(text);
DROP FUNCTION mqtt.row_schema(oid);
DROP FUNCTION mqtt.object_schema(jsonb, jsonb);
DROP FUNCTION mqtt.type_schema(oid);
DROP FUNCTION mqtt.nullable(jsonb);
DROP FUNCTION mqtt.name_examples();
DROP FUNCTION mqtt.comment_shape(oid, text);
COMMIT;

-- Verify topicbase:base/answer_shapes on pg
BEGIN;
SELECT mqtt.verify_function(f, false, 's', '{}')
FROM unnest(ARRAY[
    'mqtt.comment_shape(oid, text)', 'mqtt.type_schema(oid)', 'mqtt.row_schema(oid)', 'mqtt.word_schema(text)', 'mqtt.shape_schema(jsonb)'
]::regprocedure []) AS f;
SELECT mqtt.verify_function(f, false, 'i', '{}')
FROM unnest(ARRAY['mqtt.name_examples()', 'mqtt.nullable(jsonb)', 'mqtt.object_schema(jsonb, jsonb)']::regprocedure []) AS f;
ROLLBACK;

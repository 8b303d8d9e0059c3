-- Verify topicbase:maintenance/deletion_places on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.organization_tables()', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.deletion_places(text)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.deleted_rows(mqtt.deletions)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.delete_of_leaf(mqtt.deletions, regclass, regclass, integer)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.delete_in_places(mqtt.deletions, integer)', true, 'v', '{}');
ROLLBACK;

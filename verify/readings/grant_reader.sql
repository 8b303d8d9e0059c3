-- Verify topicbase:readings/grant_reader on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.reader_organization_ids()', true, 's', '{}');
SELECT mqtt.verify_function('mqtt.grant_reader(name, uuid)', false, 'v', '{}');
SELECT mqtt.verify_function('mqtt.revoke_reader(name, uuid)', false, 'v', '{}');
ROLLBACK;

-- Verify topicbase:maintenance/failures on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.is_passing(text)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.retry_after(integer, text)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.note_failure(text, text, text, text)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.note_success(text, text)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.is_timed_out()', true, 's', '{}');
SELECT mqtt.verify_function('mqtt.must_wait(text, text)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.failures_of(text, text)', true, 's', '{}');
SELECT mqtt.verify_function('mqtt.failed_now(text)', true, 's', '{}');
SELECT mqtt.verify_function('mqtt.forget_failures()', true, 'v', '{}');
ROLLBACK;

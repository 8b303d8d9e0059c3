-- Revert topicbase:maintenance/failures from pg
BEGIN;
DROP FUNCTION mqtt.forget_failures();
DROP FUNCTION mqtt.failed_now(text);
DROP FUNCTION mqtt.failures_of(text, text);
DROP FUNCTION mqtt.must_wait(text, text);
DROP FUNCTION mqtt.is_timed_out();
DROP FUNCTION mqtt.note_success(text, text);
DROP FUNCTION mqtt.note_failure(text, text, text, text);
DROP FUNCTION mqtt.retry_after(integer, text);
DROP FUNCTION mqtt.is_passing(text);
COMMIT;

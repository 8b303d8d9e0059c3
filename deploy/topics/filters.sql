-- Deploy topicbase:topics/filters to pg
-- requires: topics/names
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.topic_filter_reason(filter text) RETURNS text
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN filter IS NULL OR filter = '' THEN 'A topic filter must have at least one character.'
        WHEN octet_length(filter) > 65535 THEN 'A topic filter must have at most 65,535 bytes in UTF-8.'
        WHEN mqtt.has_forbidden_character(filter) THEN 'A topic filter must not contain control characters or non-characters.'
        WHEN filter ~ '[^/]\+|\+[^/]' THEN 'The wildcard + must be a whole level.'
        WHEN filter ~ '[^/]#|#.' THEN 'The wildcard # must be the whole last level.'
        WHEN starts_with(filter, '$share/') AND filter !~ '^\$share/[^/+#]+/.' THEN 'A shared subscription must be $share/<name>/<filter>.'
    END;
END;
COMMENT ON FUNCTION mqtt.topic_filter_reason(text) IS
'Why this is not a topic filter, as a sentence; null if it is one (MQTT 5 sections 4.7.1 and 4.8.2).';

CREATE OR REPLACE FUNCTION mqtt.topic_filter_pattern(filter text) RETURNS text
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN f.bare ~ '^[+#]' THEN '^(?!\$)' ELSE '^' END
        || CASE
            WHEN f.bare = '#' THEN ''
            ELSE replace(regexp_replace(regexp_replace(f.bare, '/#$', ''), '([.*?\\^${}()|\[\]])', '\\\1', 'g'), '+', '[^/]*')
                || CASE WHEN f.bare LIKE '%/#' THEN '(/|$)' ELSE '$' END
        END
    FROM (SELECT regexp_replace(filter, '^\$share/[^/]+/', '') AS bare) AS f;
END;
COMMENT ON FUNCTION mqtt.topic_filter_pattern(text) IS
'The filter as a regular expression for topic names: a leading wildcard does not match topics that start with $, a/# matches a, and $share/<name>/ is omitted (MQTT 5 section 4.7).';

CREATE OR REPLACE FUNCTION mqtt.topic_matches(filter text, topic text) RETURNS boolean
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT topic ~ mqtt.topic_filter_pattern(filter);
END;
COMMENT ON FUNCTION mqtt.topic_matches(text, text) IS 'Whether a topic name matches a topic filter (MQTT 5 section 4.7).';

CREATE OR REPLACE FUNCTION mqtt.topic_filter_prefix(filter text) RETURNS text
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT array_to_string(
        (string_to_array(regexp_replace(regexp_replace(filter, '^\$share/[^/]+/', ''), '(^|/)[+#].*$', ''), '/'))[1:16], '/'
    );
END;
COMMENT ON FUNCTION mqtt.topic_filter_prefix(text) IS
'The levels of a filter before its first wildcard, at most 16; mqtt.topic_prefixes of every topic that it matches includes it.';

CREATE OR REPLACE FUNCTION mqtt.topic_prefixes(topic text) RETURNS SETOF text
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE ROWS 5
BEGIN ATOMIC
    -- The level before a leading slash and no level at all are both the empty text: return it once.
    SELECT array_to_string(t.levels[1:n], '/')
    FROM (SELECT string_to_array(topic, '/') AS levels OFFSET 0) AS t
    CROSS JOIN LATERAL generate_series(starts_with(topic, '/')::integer, least(16, cardinality(t.levels))) AS n;
END;
COMMENT ON FUNCTION mqtt.topic_prefixes(text) IS
'Every value that mqtt.topic_filter_prefix can have for a filter that matches this topic name: an index finds those filters among thousands, so that not every expression must be tried.';
GRANT EXECUTE ON FUNCTION mqtt.topic_filter_reason(text), mqtt.topic_filter_pattern(text), mqtt.topic_matches(text, text), mqtt.topic_filter_prefix(text),
mqtt.topic_prefixes(text) TO authenticated, service_role;

CREATE OR REPLACE FUNCTION mqtt.topic_matches_any(filters text [], topic text) RETURNS boolean
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT EXISTS (SELECT FROM unnest(filters) AS f (filter) WHERE mqtt.topic_matches(f.filter, topic));
END;
COMMENT ON FUNCTION mqtt.topic_matches_any(text [], text) IS 'Whether a topic name matches one of the filters.';
COMMIT;

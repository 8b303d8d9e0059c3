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
        WHEN length(filter) - length(replace(filter, '/', '')) >= 200 THEN 'A topic filter must have at most 200 levels.'
        WHEN octet_length(filter) > 65535 THEN 'A topic filter must have at most 65,535 bytes in UTF-8.'
        WHEN mqtt.has_forbidden_character(filter) THEN 'A topic filter must not contain control characters or non-characters.'
        WHEN filter ~ '[^/]\+|\+[^/]' THEN 'The wildcard + must be a whole level.'
        WHEN filter ~ '[^/]#|#.' THEN 'The wildcard # must be the whole last level.'
        WHEN starts_with(filter, '$share/') AND filter !~ '^\$share/[^/+#]+/.' THEN 'A shared subscription must be $share/<name>/<filter>.'
    END;
END;
COMMENT ON FUNCTION mqtt.topic_filter_reason(text) IS
'Why this is not a topic filter, as a sentence; null if it is one (MQTT 5 sections 4.7.1 and 4.8.2).';

CREATE OR REPLACE FUNCTION mqtt.topic_filter_levels(filter text) RETURNS TABLE (topic_like text, topic_levels smallint)
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    -- Plain replacements, since thousands of filters may be tried with one message.
    SELECT
        CASE
            WHEN f.bare = '#' THEN '%'
            ELSE replace(replace(replace(replace(CASE WHEN f.bare LIKE '%/#' THEN left(f.bare, -2) ELSE f.bare END, '\', '\\'), '%', '\%'), '_', '\_'), '+', '%')
        END,
        (CASE
            WHEN f.bare LIKE '%#' THEN least(length(replace(f.bare, '/', '')) - length(f.bare), -1)
            ELSE length(f.bare) - length(replace(f.bare, '/', '')) + 1
        END)::smallint
    FROM (SELECT CASE WHEN starts_with(filter, '$share/') THEN regexp_replace(filter, '^\$share/[^/]+/', '') ELSE filter END AS bare) AS f;
END;
COMMENT ON FUNCTION mqtt.topic_filter_levels(text) IS 'A topic filter as mqtt.matched_levels takes it; $share/<name>/ is omitted.';

CREATE OR REPLACE FUNCTION mqtt.matched_levels(topic text, topic_like text, topic_levels smallint) RETURNS text []
LANGUAGE sql STABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    -- With as many slashes on both sides no % can cross one, so this is exact. So would be a regular expression, but Postgres keeps only the last 32
    -- that it compiled, and one of a kilobyte can take seconds to compile.
    SELECT CASE
        WHEN CASE
            WHEN topic_levels > 0 THEN topic LIKE topic_like AND cardinality(string_to_array(topic, '/')) = topic_levels
            ELSE topic LIKE topic_like || '%' AND array_to_string((string_to_array(topic, '/'))[1:-topic_levels], '/') LIKE topic_like
                AND cardinality(string_to_array(topic, '/')) >= -topic_levels
        END AND NOT (starts_with(topic, '$') AND starts_with(topic_like, '%'))
            THEN string_to_array(topic, '/')
    END;
END;
COMMENT ON FUNCTION mqtt.matched_levels(text, text, smallint) IS
'The levels of a topic name if it matches, exactly as MQTT 5 section 4.7 says, else null. A part of the statement that asks. topic_like: the levels, % for each that varies; topic_levels: how many a topic has, less than 0: so many or more (#).';

CREATE OR REPLACE FUNCTION mqtt.topic_matches(filter text, topic text) RETURNS boolean
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT mqtt.matched_levels(topic, l.topic_like, l.topic_levels) IS NOT NULL FROM mqtt.topic_filter_levels(filter) AS l;
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
GRANT EXECUTE ON FUNCTION mqtt.topic_filter_reason(text), mqtt.topic_filter_levels(text), mqtt.matched_levels(text, text, smallint), mqtt.topic_matches(text, text),
mqtt.topic_filter_prefix(text), mqtt.topic_prefixes(text) TO authenticated, service_role;

CREATE OR REPLACE FUNCTION mqtt.topic_matches_any(filters text [], topic text) RETURNS boolean
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT EXISTS (
        SELECT
        FROM unnest(filters) AS f (filter)
        CROSS JOIN LATERAL mqtt.topic_filter_levels(f.filter) AS l
        WHERE mqtt.matched_levels(topic, l.topic_like, l.topic_levels) IS NOT NULL
    );
END;
COMMENT ON FUNCTION mqtt.topic_matches_any(text [], text) IS 'Whether a topic name matches one of the filters.';
COMMIT;

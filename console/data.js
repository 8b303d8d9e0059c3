// Where readings and live messages come from: the only module that knows. `follow` becomes the live stream once the API has it; what it
// returns stays.
import { request, rpc } from './api.js';

const POLL = 1000;
const OVERLAP = 1000; // messages may be stored later than ones that were received after them
const PAGE = 500;

/**
 * Readings of devices over time: {bucket, series: [{device, metric, points: [[ms, average, least, greatest], …]}]}, oldest first, without
 * the spans that have none. `since` and `until` are milliseconds. `bucket` is in seconds; unless given, the API chooses one of which the
 * range has at most `points`, and null is returned where there is no reading to tell it by.
 */
export async function series({ deviceIds, metrics, since, until, points = 600, bucket }, options) {
    const answer = await request(rpc('query_series', {
        device_ids: deviceIds,
        metrics,
        since: new Date(since).toISOString(),
        until: new Date(until).toISOString(),
        bucket: bucket ? `${bucket} seconds` : undefined,
        max_points: bucket ? undefined : points,
        aggregates: ['avg', 'min', 'max'],
    }), options);
    // Every span of the range has a point, with nulls where it has no reading.
    const [first, second] = answer[0]?.points ?? [];
    return {
        bucket: bucket ?? (second ? (second[0] - first[0]) / 1000 : null),
        series: answer.map((line) => ({ device: line.deviceId, metric: line.metric, points: line.points.filter((p) => p[1] !== null) })),
    };
}

/**
 * Follows new messages: calls `each(messages)` with those stored since, in order, until the returned function is called. `query` narrows
 * as list_messages does; `failed(error)` hears of errors, and null when it works again.
 */
export function follow(query, each, failed = () => {}) {
    const abort = new AbortController();
    const seen = new Map(); // id → received_at, of the overlap
    let since = Date.now() - 2 * OVERLAP;
    let timer;

    async function poll() {
        try {
            if (!document.hidden) {
                let cursor;
                let page;
                do {
                    const body = { ...query, since: new Date(since).toISOString(), cursor, oldest_first: true, limit: PAGE };
                    page = await request(rpc('list_messages', body), { signal: abort.signal, quiet: true });
                    const fresh = page.filter((message) => !seen.has(message.id));
                    for (const message of fresh) seen.set(message.id, Date.parse(message.received_at));
                    if (fresh.length && !abort.signal.aborted) each(fresh);
                    cursor = page.at(-1)?.cursor;
                } while (page.length === PAGE);
                const newest = Math.max(0, ...seen.values());
                if (newest - OVERLAP > since) since = newest - OVERLAP;
                for (const [id, at] of seen) if (at < since) seen.delete(id);
                failed(null);
            }
        } catch (error) {
            if (abort.signal.aborted) return;
            failed(error);
        }
        if (!abort.signal.aborted) timer = setTimeout(poll, POLL);
    }
    poll();
    return () => {
        abort.abort();
        clearTimeout(timer);
    };
}

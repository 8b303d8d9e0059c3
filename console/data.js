// Where readings and live messages come from: the only module that knows. `series` becomes api.query_series and `follow` the live stream
// once the API has them; what they return stays.
import { request, rpc } from './api.js';

const BUCKETS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 604800]; // seconds
const MOST_ROWS = 10000;
const POLL = 1000;
const OVERLAP = 1000; // messages may be stored later than ones that were received after them
const PAGE = 500;

/** Seconds per bucket with which `span` seconds give at most `points`; null where readings are few enough as they are. */
export function bucketFor(span, points) {
    const least = span / points;
    return least < 1 ? null : BUCKETS.find((size) => size >= least) ?? BUCKETS.at(-1);
}

function call({ deviceIds, metrics, since, until, bucket, limit }) {
    return rpc('query_telemetry', {
        device_ids: deviceIds,
        metrics,
        since: new Date(since).toISOString(),
        until: new Date(until).toISOString(),
        bucket: bucket ?? undefined,
        aggregates: bucket ? ['avg', 'min', 'max'] : undefined,
        limit,
    });
}

/**
 * Readings of devices over time: [{device, metric, points: [[ms, average, least, greatest], …]}], oldest first. `since` and `until` are
 * milliseconds. `bucket` is in seconds, chosen for `points` unless given; without buckets (null) the three are the value.
 */
export async function series({ deviceIds, metrics, since, until, points = 600, bucket = bucketFor((until - since) / 1000, points)
    }, options) {
    const limit = Math.min(MOST_ROWS, bucket ? (points + 2) * deviceIds.length : 2000);
    let rows = await request(call({ deviceIds, metrics, since, until, bucket, limit }), options);
    if (!bucket && rows.length === limit) {
        bucket = 1;
        rows = await request(call({ deviceIds, metrics, since, until, bucket, limit: MOST_ROWS }), options);
    }
    const found = new Map();
    for (const row of rows.reverse()) {
        const at = Date.parse(row.timestamp);
        for (const [metric, given] of Object.entries(row.metrics)) {
            const value = bucket ? given.avg : Number(given);
            if (typeof value !== 'number' || !Number.isFinite(value)) continue;
            const key = `${row.deviceId}\n${metric}`;
            if (!found.has(key)) found.set(key, { device: row.deviceId, metric, points: [] });
            found.get(key).points.push(bucket ? [at, value, given.min, given.max] : [at, value, value, value]);
        }
    }
    return { bucket, series: [...found.values()] };
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

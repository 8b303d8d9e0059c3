// Where readings and live messages come from: the only module that knows.
import { request, rpc } from './api.js';
import { subscribe } from './stream.js';

const POLL = 1000;
const OVERLAP = 1000; // messages may be stored later than ones that were received after them
const PAGE = 500;
const MOST = 1000; // that anybody looks at: of what was missed for longer, the newest

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

/** A message of the live stream as list_messages has it. */
function listed(message) {
    const isText = message.payload_encoding !== 'base64';
    return { ...message, payload: isText ? message.payload : null, body: isText ? null : message.payload };
}

/**
 * Follows new messages: calls `each(messages)` with those stored since, in order, until the returned function is called. `query` narrows
 * as list_messages does; `failed(error)` hears of errors, and null when it works again. They come from the live stream; where there is none,
 * by asking every second. Of a list that is shown already: when its newest was received, since others of the same time may still wait to be
 * stored, and the id of its oldest, where there are more, which are no news.
 */
export function follow(query, each, failed = () => {}, { newestAt, oldestId } = {}) {
    const abort = new AbortController();
    const seen = new Map(); // id → received_at, of the overlap
    let since = Math.min(Date.now() - 2 * OVERLAP, newestAt ? Date.parse(newestAt) - OVERLAP : Infinity);
    let stands = false;
    let timer;

    function deliver(messages) {
        const fresh = messages.filter((message) => !seen.has(message.id));
        for (const message of fresh) {
            const at = Date.parse(message.received_at);
            seen.set(message.id, at);
            since = Math.max(since, at - OVERLAP);
        }
        if (fresh.length && !abort.signal.aborted) each(fresh);
        for (const [id, at] of seen) if (at < since) seen.delete(id);
    }

    async function poll() {
        const found = [];
        let page;
        do {
            const body = { ...query, since: new Date(since).toISOString(), cursor: page?.at(-1).cursor, limit: PAGE };
            page = await request(rpc('list_messages', body), { signal: abort.signal, quiet: true });
            found.push(...page);
        } while (page.length === PAGE && found.length < MOST);
        const end = found.findIndex(({ id }) => id === oldestId);
        deliver((end < 0 ? found : found.slice(0, end)).reverse());
        failed(null);
    }

    async function run() {
        clearTimeout(timer);
        if (!document.hidden) await poll().catch((error) => abort.signal.aborted || failed(error));
        clearTimeout(timer);
        if (!stands && !abort.signal.aborted) timer = setTimeout(run, POLL);
    }

    const { organization_id, filter: topic, device_id, direction } = query;
    const stop = subscribe({ stream: 'messages', organization_id, topic, device_id }, {
        rows: (messages) => deliver(messages.filter((message) => !direction || message.direction === direction).map(listed)),
        // What was stored before the stream began, and since the last look.
        began() {
            stands = true;
            run();
        },
        lost() {
            stands = false;
            run();
        },
    });
    timer = setTimeout(run, POLL);
    return () => {
        abort.abort();
        clearTimeout(timer);
        stop();
    };
}

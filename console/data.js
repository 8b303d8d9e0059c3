// Where readings and live messages come from: the only module that knows.
import { request, rpc, token } from './api.js';

const STREAM = new URL('/stream', location.origin).href;
const RECONNECT = 1000;
const RETRY = 30000; // of the stream, where there is none
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

/** A message of the live stream as list_messages has it. */
function listed(message) {
    const isText = message.payload_encoding !== 'base64';
    return { ...message, payload: isText ? message.payload : null, body: isText ? null : message.payload };
}

/** Reads the live stream until it ends: calls `event(name, data, id)` for each event. Throws where there is no stream. */
async function listen(query, after, event, signal) {
    const { organization_id, filter, device_id } = query;
    const given = Object.entries({ organization_id, device_id, topic: filter, since: after }).filter(([, value]) => value);
    const response = await fetch(`${STREAM}?${new URLSearchParams(given)}`, { headers: { Authorization: `Bearer ${token.value}` }, signal });
    if (!response.headers.get('Content-Type')?.startsWith('text/event-stream')) throw new Error(`no stream: HTTP ${response.status}`);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
        const blocks = (text + part.value).split('\n\n');
        text = blocks.pop();
        for (const block of blocks) {
            const fields = Object.fromEntries(block.split('\n').map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]));
            if (fields.event) event(fields.event, JSON.parse(fields.data), fields.id);
        }
    }
}

/**
 * Follows new messages: calls `each(messages)` with those stored since, in order, until the returned function is called. `query` narrows
 * as list_messages does; `failed(error)` hears of errors, and null when it works again. They come from the live stream; where there is none,
 * by asking every second.
 */
export function follow(query, each, failed = () => {}) {
    const abort = new AbortController();
    const seen = new Map(); // id → received_at, of the overlap
    let since = Date.now() - 2 * OVERLAP;
    let after; // cursor of the last event
    let streamAt = 0; // when to try the stream again
    let batch = [];
    let timer;

    function deliver(messages) {
        const fresh = messages.filter((message) => !seen.has(message.id));
        for (const message of fresh) seen.set(message.id, Date.parse(message.received_at));
        if (fresh.length && !abort.signal.aborted) each(fresh);
        const newest = Math.max(0, ...seen.values());
        if (newest - OVERLAP > since) since = newest - OVERLAP;
        for (const [id, at] of seen) if (at < since) seen.delete(id);
    }

    async function poll() {
        let cursor;
        let page;
        do {
            const body = { ...query, since: new Date(since).toISOString(), cursor, oldest_first: true, limit: PAGE };
            page = await request(rpc('list_messages', body), { signal: abort.signal, quiet: true });
            deliver(page);
            cursor = page.at(-1)?.cursor;
        } while (page.length === PAGE);
        failed(null);
    }

    function heard(name, data, id) {
        if (id) after = id;
        // What was stored before the stream began, and since the last look.
        if (name === 'subscribed') poll().catch((error) => abort.signal.aborted || failed(error));
        else if (name === 'message' && (!query.direction || data.direction === query.direction)) {
            // Many at a time are shown at a time.
            if (!batch.length) setTimeout(() => deliver(batch.splice(0)), 30);
            batch.push(listed(data));
        }
    }

    async function run() {
        let wait = POLL;
        try {
            if (Date.now() >= streamAt) {
                let began = false;
                try {
                    await listen(query, after, (...event) => { began = true; heard(...event); }, abort.signal);
                } catch {
                    // Without a stream, messages are asked for.
                }
                if (began) wait = RECONNECT;
                else {
                    streamAt = Date.now() + RETRY;
                    after = undefined;
                }
            }
            if (!document.hidden && !abort.signal.aborted) await poll();
        } catch (error) {
            if (abort.signal.aborted) return;
            failed(error);
        }
        if (!abort.signal.aborted) timer = setTimeout(run, wait);
    }
    run();
    return () => {
        abort.abort();
        clearTimeout(timer);
    };
}

// The live stream: one WebSocket for all that the pages follow (docs/reference/stream.md). Where there is none, they ask the API instead.
import { effect, signal } from './vendor/view.js';
import { claims, fresh, token } from './api.js';

const ADDRESS = new URL('/stream', location.origin.replace(/^http/, 'ws')).href;
const FIRST_WAIT = 1000; // before another attempt to connect; twice as long after each
const LONGEST_WAIT = 30000;
const EARLY = 20000; // before the token ends
const LONGEST_TIMER = 2 ** 31 - 1;
const PAUSE = 200; // between two deliveries
const MOST = 1000; // events that wait for a delivery: of what happened, nobody looks at more
const EVENTS = new Set(['messages', 'readings', 'receipts']); // the other streams have states, whose rows all count

/** Whether the stream is connected. */
export const isLive = signal(false);

const followed = new Map(); // id → {id, wanted, hears, waiting, stands, cursor}
let count = 0;
let socket = null;
let isOpening = false;
let wait = FIRST_WAIT;
let retry = null;
let renewal;
let said = null; // the token that the stream knows
let user = null;
let isScheduled = false;
let deliveredAt = 0;

/**
 * Follows what `wanted` names, a subscribe frame without `type` and `id`, until the returned function is called. Calls `hears.rows(rows)`
 * with what has come: one row at once, many at a time in a frame, and none while nobody can see them; `hears.began(isFirst)` when the
 * subscription stands, after which nothing is missed; `hears.lost()` when it does not.
 */
export function subscribe(wanted, hears) {
    const item = { id: String(++count), wanted, hears, waiting: new Map(), stands: false, isFirst: true, cursor: undefined };
    followed.set(item.id, item);
    if (isLive.peek()) ask(item);
    else if (!retry) open();
    return () => {
        followed.delete(item.id);
        clearTimeout(item.retry);
        if (isLive.peek()) send({ type: 'unsubscribe', id: item.id });
    };
}

function send(frame) {
    if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(frame));
}

function ask(item) {
    send({ type: 'subscribe', id: item.id, ...item.wanted, since: item.cursor });
}

function lose(item) {
    if (!item.stands) return;
    item.stands = false;
    item.hears.lost();
}

async function open() {
    clearTimeout(retry);
    retry = null;
    if (socket || isOpening || !followed.size || !token.peek() || document.hidden) return;
    isOpening = true;
    await fresh();
    isOpening = false;
    if (!token.peek()) return;
    socket = new WebSocket(ADDRESS);
    socket.addEventListener('open', hello);
    socket.addEventListener('message', ({ data }) => hear(JSON.parse(data)));
    socket.addEventListener('close', closed);
}

function hello() {
    if (!token.peek()) return socket.close(); // signed out meanwhile
    user = claims().sub;
    said = token.peek();
    send({ type: 'hello', token: said });
}

function closed() {
    socket = null;
    isLive.value = false;
    clearTimeout(renewal);
    followed.forEach(lose);
    retry = setTimeout(open, wait);
    wait = Math.min(2 * wait, LONGEST_WAIT);
}

/** Has the token renewed before it ends, as long as somebody looks. */
function renewInTime() {
    const left = (claims().exp ?? Infinity) * 1000 - Date.now();
    clearTimeout(renewal);
    renewal = setTimeout(() => document.hidden || fresh(), Math.min(Math.max(left - EARLY, left / 2), LONGEST_TIMER));
}

function hear(frame) {
    if (frame.type === 'ready') {
        renewInTime();
        wait = FIRST_WAIT;
        if (!isLive.peek()) followed.forEach(ask);
        isLive.value = true;
    }
    const item = followed.get(frame.id);
    if (!item) return;
    if (frame.cursor) item.cursor = frame.cursor;
    if (frame.type === 'subscribed') begin(item);
    else if (frame.type === 'gap') frame.lost && begin(item);
    else if (frame.type === 'error') {
        lose(item);
        item.cursor = undefined;
        item.retry = setTimeout(ask, LONGEST_WAIT, item);
    } else if (frame[frame.type]) keep(item, frame[frame.type]);
}

function begin(item) {
    item.stands = true;
    item.hears.began(item.isFirst);
    item.isFirst = false;
}

let events = 0;
/** Of what is the same row, the newest waits. */
function keep({ wanted: { stream = 'messages' }, waiting }, row) {
    waiting.set(stream === 'statistics' ? row.organization_id : row.id ?? row.receipt_id ?? ++events, row);
    if (EVENTS.has(stream) && waiting.size > MOST) waiting.delete(waiting.keys().next().value);
    if (isScheduled) return;
    isScheduled = true;
    setTimeout(() => requestAnimationFrame(deliver), Math.max(0, deliveredAt + PAUSE - Date.now()));
}

function deliver() {
    isScheduled = false;
    deliveredAt = Date.now();
    for (const item of followed.values()) if (item.waiting.size) {
        const rows = [...item.waiting.values()];
        item.waiting.clear();
        item.hears.rows(rows);
    }
}

effect(() => {
    const given = token.value;
    if (!socket) open();
    else if (socket.readyState === WebSocket.CONNECTING) return; // hello() looks at the token
    else if (!given || claims().sub !== user) socket.close();
    else if (isLive.peek() && given !== said) {
        said = given;
        send({ type: 'token', token: given });
    }
});
document.addEventListener('visibilitychange', open);

import { html, useEffect, useRef, useState } from '../vendor/view.js';
import { request, rpc } from '../api.js';
import { follow } from '../data.js';
import { count, moment, when } from '../format.js';
import { Badge, Choice, Head, Problem, Table, Text } from '../parts.js';
import { preview } from '../payload.js';
import { keep, organization, route } from '../state.js';
import { Download } from './export.js';
import { MessageDialog } from './message.js';

const KEPT = 1000;
const PAGE = 100;
export const SHOWN = 100;

const rowOf = (m, open) => html`<tr key=${m.id}>
    <td class="nowrap mono"><time datetime=${m.received_at} title=${moment(m.received_at)}>${when(m.received_at)}</time></td>
    <td class="break"><button type="button" class="link mono break" onClick=${() => open(m)}>${m.topic}</button></td>
    <td class="mono cut">${preview(m).slice(0, 300)}</td>
    <td class="nowrap">${m.direction === 'outgoing' ? html`<${Badge} state="outgoing" />` : m.message_type ?? ''}</td>
</tr>`;

export function MessageTable({ messages, label = 'Messages' }) {
    const [open, set] = useState(null);
    const rows = useRef(new WeakMap()); // messages never change: a row is made once, and only its place may differ
    function row(message) {
        if (!rows.current.has(message)) rows.current.set(message, rowOf(message, set));
        return rows.current.get(message);
    }
    return html`<div class="messages"><${Table} label=${label} head=${['Time', 'Topic', 'Payload', 'Type']}>${messages.map(row)}<//></div>
        ${open && html`<${MessageDialog} key=${open.id} message=${open} close=${() => set(null)} />`}`;
}

/** The newest messages that `query` selects, then those that come: {messages, waiting, …}. While paused, what comes is only counted. */
export function useTail(query, paused) {
    const [state, set] = useState({ messages: [], held: [], error: null, isLoading: true });
    const isPaused = useRef(paused);
    isPaused.current = paused;
    useEffect(() => {
        const abort = new AbortController();
        let stop = () => {};
        set({ messages: [], held: [], error: null, isLoading: true });
        const add = (old, fresh) => {
            const known = new Set([...old.messages, ...old.held].map((m) => m.id));
            const added = fresh.filter((m) => !known.has(m.id)).reverse();
            return isPaused.current ? { ...old, held: [...added, ...old.held].slice(0, KEPT) }
                : { ...old, messages: [...added, ...old.messages].slice(0, KEPT) };
        };
        request(rpc('list_messages', { ...query, limit: PAGE }), { signal: abort.signal }).then((newest) => {
            set({ messages: newest, held: [], error: null, isLoading: false });
            if (!query.until) stop = follow(query, (fresh) => set((old) => add(old, fresh)), (error) => set((old) => ({ ...old, error })),
                { newestAt: newest[0]?.received_at, oldestId: newest.length < PAGE ? null : newest.at(-1).id });
        }, (error) => abort.signal.aborted || set((old) => ({ ...old, error, isLoading: false })));
        return () => {
            abort.abort();
            stop();
        };
    }, [JSON.stringify(query)]);
    useEffect(() => {
        if (!paused) set((old) => ({ ...old, messages: [...old.held, ...old.messages].slice(0, KEPT), held: [] }));
    }, [paused]);
    return state;
}

/** Pages of what `query` selects that are older than `newer`: {older, isEnd, error, more, forget}. */
function useOlder(query, newer) {
    const key = JSON.stringify(query);
    const [state, set] = useState({});
    const now = state.key === key ? state : { key, older: [], isEnd: newer.length < PAGE };
    const wanted = useRef(key);
    wanted.current = key;
    async function more() {
        const last = now.older.at(-1) ?? newer.at(-1);
        const settle = (change) => wanted.current === key && set({ ...now, error: null, ...change });
        try {
            // What came live has no cursor.
            const cursor = last.cursor ?? (await request(rpc('list_messages', { organization_id: query.organization_id, id: last.id })))[0].cursor;
            const page = await request(rpc('list_messages', { ...query, cursor, limit: PAGE }));
            settle({ older: [...now.older, ...page], isEnd: page.length < PAGE });
        } catch (error) {
            settle({ error });
        }
    }
    return { ...now, more, forget: () => set({}) };
}

/** What the address asks for. */
const asked = () => Object.fromEntries(['filter', 'direction', 'before'].map((name) => [name, route.value.query.get(name) ?? '']));

const timeOf = (text) => (Number.isNaN(Date.parse(text)) ? undefined : new Date(text).toISOString());

export default function Messages() {
    const { id, topic_prefix } = organization.value;
    const [shown, setShown] = useState(asked);
    const [typed, setTyped] = useState('');
    const [paused, setPaused] = useState(false);
    useEffect(() => { // the address tells, whatever this page was showing before
        setTyped(asked().filter);
        setShown(asked());
    }, [route.value]);
    useEffect(() => {
        const filter = typed.trim();
        const timer = setTimeout(() => setShown((old) => (old.filter === filter ? old : { ...old, filter })), 300);
        return () => clearTimeout(timer);
    }, [typed]);
    useEffect(() => keep(shown), [shown]);
    const query = { organization_id: id, filter: shown.filter || undefined, direction: shown.direction || undefined, until: timeOf(shown.before) };
    const { messages, held, error, isLoading } = useTail(query, paused);
    const { older, isEnd, error: fault, more, forget } = useOlder(query, messages);
    const isLive = !paused && !query.until;
    function pause() {
        setPaused(!paused);
        if (paused) forget();
    }
    function showOlder() {
        if (isLive) setPaused(true); // what one reads stays where it is
        more();
    }
    const rows = isLive ? messages.slice(0, SHOWN) : [...messages, ...older];
    return html`<${Head} title="Messages" note="As they are stored, the newest first.">
        ${!query.until && html`<button type="button" aria-pressed=${paused} class=${paused ? 'primary' : ''} onClick=${pause}>${paused ?
            `Resume${held.length ? ` (${count(held.length)} new)` : ''}` : 'Pause'}</button>`}
        <${Download} query=${query} name="messages.csv" />
    <//>
    <div class="form filter">
        <${Text} label="Topic filter" value=${typed} set=${setTyped} wide placeholder=${`${topic_prefix}/devices/+/telemetry`}
            hint="+ stands for one level, # for all that follow; empty for all messages." />
        <${Choice} label="Direction" value=${shown.direction} set=${(direction) => setShown({ ...shown, direction })}
            options=${[['', 'Both'], ['incoming', 'Incoming'], ['outgoing', 'Outgoing']]} />
        <${Text} label="Received before" type="datetime-local" value=${shown.before} set=${(before) => setShown({ ...shown, before })} />
    </div>
    <p class="dim small"><span class=${`dot ${isLive ? 'live' : ''}`}></span> ${isLive ? 'Live' : query.until ? 'Earlier' :
        'Paused'} · ${count(messages.length + older.length)} messages${rows.length < messages.length ? `, the newest ${SHOWN} shown` : ''}</p>
    <${Problem} error=${error ?? fault} />
    ${rows.length
        ? html`<${MessageTable} messages=${rows} />`
        : !error && html`<div class="empty">${isLoading ? 'Loading…' : query.until ? 'No message matches.' :
            'No message matches yet. New ones appear here by themselves.'}</div>`}
    ${!isEnd && html`<div class="row pager"><button type="button" onClick=${showOlder}>Older messages</button></div>`}`;
}

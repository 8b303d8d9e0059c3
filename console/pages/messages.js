import { html, useEffect, useRef, useState } from '../vendor/view.js';
import { request, rpc } from '../api.js';
import { follow } from '../data.js';
import { count, moment, when } from '../format.js';
import { Badge, Choice, Head, Problem, Table, Text } from '../parts.js';
import { preview } from '../payload.js';
import { organization } from '../state.js';
import { MessageDialog } from './message.js';

const KEPT = 1000;
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
    return html`<${Table} label=${label} head=${['Time', 'Topic', 'Payload', 'Type']}>${messages.map(row)}<//>
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
        request(rpc('list_messages', { ...query, limit: 100 }), { signal: abort.signal }).then((newest) => {
            set({ messages: newest, held: [], error: null, isLoading: false });
            stop = follow(query, (fresh) => set((old) => add(old, fresh)), (error) => set((old) => ({ ...old, error })));
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

export default function Messages() {
    const { id, topic_prefix } = organization.value;
    const [typed, setTyped] = useState('');
    const [filter, setFilter] = useState('');
    const [direction, setDirection] = useState('');
    const [paused, setPaused] = useState(false);
    useEffect(() => {
        const timer = setTimeout(() => setFilter(typed.trim()), 300);
        return () => clearTimeout(timer);
    }, [typed]);
    const query = { organization_id: id, filter: filter || undefined, direction: direction || undefined };
    const { messages, held, error, isLoading } = useTail(query, paused);
    return html`<${Head} title="Messages" note="As they are stored, the newest first.">
        <button type="button" aria-pressed=${paused} class=${paused ? 'primary' : ''} onClick=${() => setPaused(!paused)}>${paused ?
            `Resume${held.length ? ` (${count(held.length)} new)` : ''}` : 'Pause'}</button>
    <//>
    <div class="form filter">
        <${Text} label="Topic filter" value=${typed} set=${setTyped} wide placeholder=${`${topic_prefix}/devices/+/telemetry`}
            hint="+ stands for one level, # for all that follow; empty for all messages." />
        <${Choice} label="Direction" value=${direction} set=${setDirection}
            options=${[['', 'Both'], ['incoming', 'Incoming'], ['outgoing', 'Outgoing']]} />
    </div>
    <p class="dim small"><span class=${`dot ${paused ? '' : 'live'}`}></span> ${paused ? 'Paused' :
        'Live'} · ${count(messages.length)} messages${messages.length > SHOWN ? `, the newest ${SHOWN} shown` : ''}</p>
    <${Problem} error=${error} />
    ${messages.length
        ? html`<${MessageTable} messages=${messages.slice(0, SHOWN)} />`
        : !error && html`<div class="empty">${isLoading ? 'Loading…' :
            'No message matches yet. New ones appear here by themselves.'}</div>`}`;
}

// What pages are made of.
import { html, signal, useEffect, useMemo, useRef, useState } from './vendor/view.js';
import { curl, request } from './api.js';
import { ago, moment, since } from './format.js';
import { Icon } from './icons.js';
import { subscribe } from './stream.js';

let ids = 0;
export const useId = (prefix) => useMemo(() => `${prefix}-${++ids}`, []);

const EVENTS = new Set(['messages', 'readings', 'receipts']); // they begin with what comes next, the other streams with what there is

/**
 * The answer of `load(options)`, again every `every` milliseconds while the page can be seen: {data, error, isFollowed, reload}. With
 * `live`, {follow: [a subscription, …], merge(data, rows, stream), every}, the live stream keeps it up to date: `merge` puts rows of a
 * stream into the data, and while all of the subscriptions stand, the API is asked every `live.every` milliseconds, if at all.
 */
export function useLoad(load, deps, every = 0, live = null) {
    const [state, set] = useState({ data: undefined, error: null, isFollowed: false });
    const again = useRef(() => {});
    useEffect(() => {
        const abort = new AbortController();
        const standing = new Set();
        const isFollowed = () => Boolean(live) && standing.size === live.follow.length;
        let timer;
        let runs = 0;
        let answered = 0;
        let came = null; // while a run is on its way
        let failed = false;
        function plan() {
            clearTimeout(timer);
            const pause = isFollowed() && !failed ? live.every : every;
            if (pause && !abort.signal.aborted) timer = setTimeout(() => (document.hidden ? plan() : run()), pause);
        }
        async function run() {
            clearTimeout(timer);
            const mine = ++runs;
            came ??= [];
            const news = {};
            try {
                news.data = await load({ signal: abort.signal, quiet: mine > 1 });
                news.error = null;
            } catch (error) {
                news.error = error;
            }
            if (abort.signal.aborted || mine < answered) return; // a later run was faster
            answered = mine;
            failed = Boolean(news.error);
            if (!news.error) for (const [rows, stream] of came) news.data = live.merge(news.data, rows, stream);
            if (mine === runs) came = null;
            set((old) => ({ ...old, ...news }));
            plan();
        }
        function hears(wanted) {
            const changed = () => set((old) => (old.isFollowed === isFollowed() ? old : { ...old, isFollowed: isFollowed() }));
            return {
                rows(rows) {
                    came?.push([rows, wanted.stream]);
                    set((old) => (old.data === undefined ? old : { ...old, data: live.merge(old.data, rows, wanted.stream) }));
                },
                began(isFirst) {
                    standing.add(wanted);
                    changed();
                    // What came between the answer and the subscription, and what was deleted while there was none.
                    if (!isFirst || EVENTS.has(wanted.stream)) run();
                    else plan();
                },
                lost() {
                    standing.delete(wanted);
                    changed();
                    plan();
                },
            };
        }
        // Someone who comes back, from a shell perhaps, sees at once what is new.
        const back = () => every && !document.hidden && run();
        document.addEventListener('visibilitychange', back);
        set({ data: undefined, error: null, isFollowed: false });
        run();
        again.current = run;
        const stops = live?.follow.map((wanted) => subscribe(wanted, hears(wanted))) ?? [];
        return () => {
            document.removeEventListener('visibilitychange', back);
            abort.abort();
            clearTimeout(timer);
            for (const stop of stops) stop();
        };
    }, deps);
    return { ...state, reload: () => again.current() };
}

/** `data` with the rows of a stream: those that were there are replaced, those that were deleted go, others come at the end. */
export function withRows(data, rows, key = 'id') {
    const all = new Map(data.map((row) => [row[key], row]));
    for (const row of rows) {
        if (row.deleted) all.delete(row[key]);
        else all.set(row[key], { ...all.get(row[key]), ...row });
    }
    return [...all.values()];
}

const said = signal('');
/** Says to everyone, screen readers included, what has happened. */
export function say(text) {
    said.value = text;
    setTimeout(() => {
        if (said.value === text) said.value = '';
    }, 5000);
}
export const Said = () => html`<div class="said" role="status">${said.value && html`<p>${said.value}</p>`}</div>`;

export const Problem = ({ error }) =>
    error &&
    html`<div class="problem" role="alert">
        <strong>${error.slug ?? 'error'}</strong>${error.status ? html` <span class="dim">${error.status}</span>` : ''}
        ${(error.detail || error.message) !== error.slug && html`<p>${error.detail || error.message}</p>`}
        ${error.hint && html`<p class="dim">${error.hint}</p>`}
    </div>`;

/** What is said in place of a list that has nothing, or has not come yet. */
export function Waiting({ of, empty, children }) {
    if (of.error && of.data === undefined) return html`<${Problem} error=${of.error} />`;
    if (of.data === undefined) return html`<p class="waiting" role="status">Loading…</p>`;
    return html`<${Problem} error=${of.error} />${empty ? html`<div class="empty">${empty}</div>` : children}`;
}

const BADGES = {
    active: 'ok', acknowledged: 'ok', delivered: 'ok', sent: 'ok', success: 'ok', granted: 'ok', live: 'ok', done: 'ok', allowed: 'ok',
        online: 'ok', admin: 'info', outgoing: 'info',
    pending: 'warn', waiting: 'warn', queued: 'warn', running: 'warn', paused: 'warn', retrying: 'warn', expired: 'warn',
    error: 'bad', failed: 'bad', dead: 'bad', refused: 'bad', gone: 'bad', offline: 'bad', open: 'bad', denied: 'bad',
};
export const Badge = ({ state, children }) => html`<span class=${`badge ${BADGES[state] ?? 'mute'}`}>${children ?? state}</span>`;

export const Since = ({ at }) => at && html`since <time datetime=${at} title=${moment(at)}>${since(at)}</time>`;

/** How long ago; `none` for what has not happened. */
export const When = ({ at, none = '–' }) => (at ? html`<time datetime=${at} title=${moment(at)}>${ago(at)}</time>` :
    html`<span class="dim">${none}</span>`);

/** Whether a device is online, and since when, if its status messages have told. */
export const Presence = ({ of }) => of && of.state !== 'unknown' &&
    html`<span class="nowrap"><${Badge} state=${of.state} /> <${Since} at=${of.since} /></span>`;

export function Copy({ text, label = 'Copy', of }) {
    const [copied, set] = useState(false);
    async function copy() {
        try {
            await navigator.clipboard.writeText(text);
        } catch {
            getSelection().selectAllChildren(of.current); // without a secure context there is no clipboard
            return;
        }
        set(true);
        setTimeout(() => set(false), 1500);
    }
    return html`<button type="button" class="quiet small" onClick=${copy}><${Icon} name="copy" />${copied ? 'Copied' : label}</button>`;
}

export function Code({ text, label, testId }) {
    const of = useRef();
    return html`<div class="code"><pre ref=${of} tabindex="0" role="region" aria-label=${label} data-testid=${testId}>${text}</pre>
        <${Copy} text=${text} of=${of} /></div>`;
}

/** A mistake in what was entered, in the shape of the API's errors. */
export function mistake(detail, hint = '') {
    return Object.assign(new Error(detail), { slug: 'input_invalid', detail, hint });
}

export function parsed(text, what) {
    try {
        return JSON.parse(text);
    } catch (error) {
        throw mistake(`${what} is not JSON: ${error.message}.`, 'Write strings in double quotes.');
    }
}

/**
 * A button that makes one API call, and shows it as curl. `call` is the call or a function that returns it (and may raise `mistake`);
 * `done(answer)` runs after it; with `sure` the user is asked first.
 */
export function Action({ call, children, done, sure, kind = '', disabled, small, name }) {
    const [busy, setBusy] = useState(false);
    const [asks, setAsks] = useState(false);
    const [error, setError] = useState(null);
    const [shows, setShows] = useState(false);
    const id = useId('curl');
    const place = useRef();
    useEffect(() => {
        if (error) place.current.lastElementChild.scrollIntoView({ block: 'nearest' }); // in a long form it is out of sight
    }, [error]);
    const made = () => (typeof call === 'function' ? call() : call);
    async function run() {
        setAsks(false);
        setError(null);
        try {
            const spec = made();
            setBusy(true);
            await done?.(await request(spec));
        } catch (problem) {
            setError(problem);
        } finally {
            setBusy(false);
        }
    }
    let command = '';
    if (shows) {
        try {
            command = curl(made());
        } catch (problem) {
            command = `# ${problem.detail}`;
        }
    }
    const label = name ?? (typeof children === 'string' ? children : 'this');
    return html`<div class=${`action ${small ? 'small' : ''}`} ref=${place}>
        <div class="row">
            ${asks
                ? html`<button type="button" class="danger" onClick=${run}>Yes: ${children}</button>
                    <button type="button" onClick=${() => setAsks(false)}>Cancel</button>`
                : html`<button type="button" class=${kind} disabled=${disabled || busy} onClick=${sure ? () => setAsks(true) : run}
                    aria-label=${name}>${busy ? 'Working…' : children}</button>`}
            <button type="button" class="quiet icon-only" aria-expanded=${shows} aria-controls=${id}
                aria-label=${`Show “${label}” as curl`} title="Show as curl" onClick=${() => setShows(!shows)}>
                    <${Icon} name="code" /></button>
        </div>
        ${asks && html`<p class="sure">${sure}</p>`}
        <div id=${id}>${shows && html`<${Code} text=${command} label="curl command" testId="curl" />`}</div>
        <${Problem} error=${error} />
    </div>`;
}

/** A labelled control: `control(attributes)` makes it with what ties it to its label and hint. */
function Field({ label, hint, wide, control }) {
    const id = useId('field');
    return html`<div class=${`field ${wide ? 'wide' : ''}`}><label for=${id}>${label}</label>
        ${control({ id, 'aria-describedby': hint ? `${id}-hint` : undefined })}
        ${hint && html`<small class="dim" id=${`${id}-hint`}>${hint}</small>`}</div>`;
}

/** A text field bound to a value and its setter. */
export function Text({ label, hint, value, set, wide, area, ...rest }) {
    const onInput = (event) => set(event.currentTarget.value);
    const control = (ties) => (area
        ? html`<textarea rows=${area} spellcheck="false" value=${value} onInput=${onInput} ...${ties} ...${rest}></textarea>`
        : html`<input type="text" autocomplete="off" spellcheck="false" value=${value} onInput=${onInput} ...${ties} ...${rest} />`);
    return html`<${Field} label=${label} hint=${hint} wide=${wide} control=${control} />`;
}

export function Choice({ label, hint, value, set, options, wide, ...rest }) {
    const control = (ties) => html`<select value=${value} onChange=${(event) => set(event.currentTarget.value)} ...${ties} ...${rest}>
        ${options.map(([key, text]) => html`<option key=${key} value=${key} selected=${key === value}>${text}</option>`)}
    </select>`;
    return html`<${Field} label=${label} hint=${hint} wide=${wide} control=${control} />`;
}

export function Check({ label, value, set, ...rest }) {
    return html`<label class="check"><input type="checkbox" checked=${value} onChange=${(event) => set(event.currentTarget.checked)}
        ...${rest} /><span>${label}</span></label>`;
}

/** A table that scrolls sideways by itself where it is too wide. */
export function Table({ label, head, children }) {
    return html`<div class="table" role="region" aria-label=${label} tabindex="0"><table>
        <thead><tr>${head.map((cell) => html`<th scope="col" class=${cell.startsWith('>') ? 'right' : ''}>${cell.replace(/^>/, '') ||
            html`<span class="unseen">Actions</span>`}</th>`)}</tr></thead>
        <tbody>${children}</tbody>
    </table></div>`;
}

export const Card = ({ title, aside, children, wide, id }) =>
    html`<section class=${`card ${wide ? 'wide' : ''}`} id=${id}>${title &&
        html`<header><h2>${title}</h2>${aside}</header>`}${children}</section>`;

export const Stat = ({ label, value, note, state }) =>
    html`<div class=${`stat ${state ?? ''}`}><dt>${label}</dt><dd>${value}</dd>${note && html`<dd class="note">${note}</dd>`}</div>`;

export const Head = ({ title, note, children }) => {
    useEffect(() => {
        document.title = `${title} · Topicbase`;
    }, [title]);
    return html`<div class="head"><div><h1>${title}</h1>${note && html`<p class="dim">${note}</p>`}</div><div class="row">
        ${children}</div></div>`;
};

export const Tabs = ({ label, tabs, current }) =>
    html`<nav class="tabs" aria-label=${label}>
        ${tabs.map(([key, text, to]) => html`<a key=${key} href=${to} aria-current=${key === current ? 'page' : undefined}>
            ${text}</a>`)}</nav>`;

export function Dialog({ title, close, children }) {
    const ref = useRef();
    const id = useId('dialog');
    useEffect(() => {
        ref.current.showModal();
    }, []);
    return html`<dialog ref=${ref} aria-labelledby=${id} onClose=${close}>
        <header><h2 id=${id}>${title}</h2><button type="button" class="quiet icon-only" aria-label="Close"
            onClick=${() => ref.current.close()}><${Icon} name="close" /></button></header>
        ${children}
    </dialog>`;
}

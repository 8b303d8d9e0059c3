// Messages as a file of the browser's, in the columns of `topicbase export messages`, which `topicbase import` reads.
import { html, useEffect, useRef, useState } from '../vendor/view.js';
import { request, rpc } from '../api.js';
import { count } from '../format.js';
import { Problem } from '../parts.js';

const PAGE = 1000;
const COLUMNS = ['received_at', 'measured_at', 'id', 'organization_id', 'integration_id', 'device_id', 'direction', 'topic', 'message_type', 'payload',
    'body', 'content_type', 'decode_error', 'qos', 'retain', 'properties', 'sent_at', 'failed', 'cursor'];

/** Numbers keep every digit, where the browser can. */
const exact = (key, value, context) => (typeof value === 'number' && JSON.rawJSON ? JSON.rawJSON(context.source) : value);

/** A payload is JSON, whatever it is, and empty where there is a body; other values are themselves. */
function cell(name, row) {
    const value = row[name];
    if (name === 'payload') return row.body === null ? JSON.stringify(value) : '';
    if (value === null) return '';
    return typeof value === 'string' ? value.replaceAll(/[\r\n]+/g, ' ') : JSON.stringify(value);
}

const quoted = (text) => (/[",]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
const lines = (rows) => rows.map((row) => `${COLUMNS.map((name) => quoted(cell(name, row))).join()}\n`).join('');

/** Saves all that `query` selects, the oldest first, as `name`. */
export function Download({ query, name }) {
    const [found, set] = useState(null); // how many rows there are so far
    const [error, setError] = useState(null);
    const abort = useRef(null);
    useEffect(() => () => abort.current?.abort(), []);
    async function save() {
        abort.current = new AbortController();
        const { signal } = abort.current;
        const parts = [`${COLUMNS.join()}\n`];
        const until = query.until ?? new Date().toISOString();
        let total = 0;
        let cursor;
        setError(null);
        set(0);
        try {
            for (;;) {
                const call = rpc('list_messages', { ...query, until, oldest_first: true, limit: PAGE, cursor });
                const page = await request(call, { signal, quiet: total > 0, reviver: exact });
                if (!page.length) break;
                parts.push(new Blob([lines(page)])); // which the browser may keep on disk
                cursor = page.at(-1).cursor;
                total += page.length;
                set(total);
            }
            const link = document.createElement('a');
            link.href = URL.createObjectURL(new Blob(parts, { type: 'text/csv' }));
            link.download = name;
            link.click();
            setTimeout(() => URL.revokeObjectURL(link.href), 60000);
        } catch (problem) {
            if (!signal.aborted) setError(problem);
        }
        set(null);
    }
    return html`<div class="action">${found === null ? html`<button type="button" onClick=${save}>Save as CSV</button>` :
        html`<div class="row"><span role="status">${count(found)} messages…</span>
            <button type="button" onClick=${() => abort.current.abort()}>Cancel</button></div>`}<${Problem} error=${error} /></div>`;
}

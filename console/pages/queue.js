import { html, useState } from '../vendor/view.js';
import { request, rpc } from '../api.js';
import { count, hour, moment, rate, span } from '../format.js';
import { useStatistics } from '../live.js';
import { Badge, Card, Head, Stat, Table, Waiting, useLoad } from '../parts.js';
import { Plot } from '../plot.js';
import { organization } from '../state.js';
import { filled, ledgerCall } from './overview.js';

const UNITS = { minute: ['Minutes', 60000, 60], hour: ['Hours', 3600000, 24], day: ['Days', 86400000, 31] };
const RATES = [['in_per_second', 'In'], ['out_per_second', 'Stored'], ['retry_per_second', 'Failed attempts'],
    ['dead_per_second', 'Dead letters']];

export default function Queue() {
    const { id } = organization.value;
    const [unit, setUnit] = useState('hour');
    const stats = useStatistics(id);
    const ledger = useLoad((options) => request(ledgerCall(id, unit), options), [id, unit], 10000);
    const [, step, length] = UNITS[unit];
    const until = Math.floor(Date.now() / step) * step + step;
    const since = until - length * step;
    const s = stats.data;
    return html`<${Head} title="Queue" note="Incoming messages between their acceptance and the history." />
        <${Waiting} of=${stats}>${s && html`<dl class="stats">
            <${Stat} label="Pending" value=${count(s.pending)} note=${s.oldest_pending_seconds == null ? 'nothing waits' :
                `oldest ${span(Number(s.oldest_pending_seconds))}`} state=${s.oldest_pending_seconds > 60 ? 'bad' : ''} />
            <${Stat} label="Processing" value=${count(s.processing)} />
            <${Stat} label="Waiting for another attempt" value=${count(s.retrying)} />
            <${Stat} label="Completed" value=${count(s.completed)} note="while the history is kept" />
            <${Stat} label="Dead letters" value=${count(s.dead)} state=${s.dead ? 'warn' : ''} />
        </dl>
        <${Card} title="Messages per second" wide><${Table} label="Rates" head=${['', '>Last minute', '>5 minutes', '>Hour']}>
            ${RATES.map(([key, text]) => html`<tr key=${key}><th scope="row">${text}</th>
                ${['1m', '5m', '60m'].map((w) => html`<td key=${w} class="right mono">${rate(s.rates[w][key])}</td>`)}</tr>`)}
        <//><//>`}<//>
        <${Card} title="Ledger" wide aside=${html`<div class="segments" role="group" aria-label="Unit">
            ${Object.entries(UNITS).map(([key, [text]]) => html`<button key=${key} type="button" aria-pressed=${unit === key}
                onClick=${() => setUnit(key)}>${text}</button>`)}</div>`}>
            <${Waiting} of=${ledger} empty=${ledger.data?.length === 0 && 'No message was accepted in this range.'}>
                <${Plot} key=${unit} label="Messages accepted" points=${filled(ledger.data ?? [], 'accepted', since, until, step)}
                    since=${since} until=${until} bars />
                <${Table} label="Ledger" head=${[unit === 'day' ? 'Day' : unit === 'hour' ? 'Hour' : 'Minute', '>Accepted', '>Stored',
                    '>Dead', '>Expired', '>In the queue', '']}>
                    ${[...(ledger.data ?? [])].reverse().map((row) => html`<tr key=${row.at}><td class="nowrap" title=${moment(row.at)}>
                        ${unit === 'hour' ? hour(row.at) : moment(row.at)}</td>
                        ${['accepted', 'completed', 'dead', 'expired',
                            'queued'].map((key) => html`<td key=${key} class="right mono">${count(row[key])}</td>`)}
                        <td>${row.queued < 0 ? html`<${Badge} state="error">more settled than accepted<//>` : ''}</td></tr>`)}
                <//>
            <//>
        <//>`;
}

import { html, useState } from '../vendor/view.js';
import { request, rpc, view } from '../api.js';
import { count, isPast, moment } from '../format.js';
import { Action, Badge, Choice, Dialog, Head, Table, Waiting, When, say, useLoad } from '../parts.js';
import { href, isAdmin, organization, route } from '../state.js';
import { Facts } from './message.js';

const PAGE = 100;
const STATES = [['', 'All'], ['waiting', 'Waiting'], ['delivered', 'Delivered'], ['dead', 'Dead']];
const HELD = 'what is due waits until one request tries it again: ten minutes after the last failure at most, or when its Retry-After ends';

/** What the deliveries of a receiver say of it: five failures in a row open its circuit, for how long the API does not tell. */
function circuit(subscription, deliveries) {
    if (subscription.is_paused) return ['paused', 'nothing is posted until its subscription goes on'];
    if (subscription.callback_gone_at) return ['gone', 'answered 410 Gone; subscribe again to resume'];
    const tried = deliveries.filter((d) => d.attempted_at).sort((a, b) => b.attempted_at.localeCompare(a.attempted_at));
    if (!tried.length) return ['idle', 'nothing was posted lately'];
    if (tried[0].status === 'delivered') return ['closed', `last delivered`, tried[0].attempted_at];
    const failures = tried.findIndex((d) => d.status === 'delivered');
    const row = failures < 0 ? tried.length : failures;
    const why = tried[0].error ?? 'fails';
    const [next] = deliveries.map((d) => d.next_attempt_at).filter(Boolean).sort();
    const state = row >= 5 ? 'open' : 'failing';
    if (!next) return [state, why];
    if (isPast(next)) return [state, `${why}; ${state === 'open' ? HELD : 'the next attempt is due'}`];
    return [state, `${why}; next attempt${state === 'open' ? ' at the earliest' : ''}`, next];
}

/** When a delivery is attempted next: what is due may wait for its subscription, for an open circuit, or for those before it. */
function Next({ of, subscription }) {
    const at = of.next_attempt_at;
    if (at && (subscription.is_paused || subscription.callback_gone_at)) return 'when the subscription goes on';
    if (at && isPast(at)) return html`<span title=${moment(at)}>${subscription.callback_ordered ? 'in its turn' : 'now due'}</span>`;
    return html`<${When} at=${at} />`;
}

function Rotate({ subscription, close }) {
    const [grace, setGrace] = useState('1 day');
    const [answer, set] = useState(null);
    return html`<${Dialog} title="New secret" close=${close}>${answer
        ? html`<p class="notice"><strong>Copy the secret now.</strong> Nobody can show it again.</p><p>
            <code class="break" data-testid="secret">${answer.callback_secret}</code></p>`
        : html`<div class="form"><p class="wide dim">Requests to <code class="break">
            ${subscription.callback_url}</code> are signed with the new secret at once, and with the old one as well for</p>
            <${Choice} label="Grace" value=${grace} set=${setGrace}
                options=${[['0', 'no time'], ['1 hour', 'an hour'], ['1 day', 'a day'], ['7 days', 'a week']]} />
            <${Action} kind="primary" call=${() => rpc('rotate_mqtt_callback_secret', { subscription_id: subscription.id, grace })}
                done=${set}>Rotate<//></div>`}<//>`;
}

function Delivery({ delivery, subscription, close, done }) {
    const message = useLoad(async (options) => (await request(rpc('list_messages', { id: delivery.message_id, limit: 1 }), options))[0] ??
        null, [delivery.id]);
    return html`<${Dialog} title="Delivery" close=${close}>
        <p><${Badge} state=${delivery.status} /> ${delivery.error ?? ''}</p>
        <${Facts} facts=${[['Attempts', String(delivery.attempts)], ['HTTP status', delivery.status_code && String(delivery.status_code)],
            ['Answer', delivery.response && html`<code class="break">${delivery.response}</code>`],
                ['Created', moment(delivery.created_at)],
            ['Last attempt', moment(delivery.attempted_at)],
                ['Next attempt', html`<${Next} of=${delivery} subscription=${subscription} />`],
                ['Topic', message.data?.topic], ['Payload', message.data && html`<code class="break">
                    ${JSON.stringify(message.data.payload)}</code>`], ['Id', html`<code>${delivery.id}</code>`]]} />
        ${isAdmin.value && delivery.status !== 'waiting' &&
            html`<${Action} call=${rpc('replay_mqtt_callback_deliveries', { subscription_id: delivery.subscription_id, ids: [delivery.id]
                })} done=${() => { say('It will be posted again.'); done(); }}>Post again<//>`}
    <//>`;
}

function Hook({ subscription }) {
    const [status, setStatus] = useState('');
    const [open, setOpen] = useState(null);
    const [rotates, setRotates] = useState(false);
    const state = useLoad((options) => request(view('mqtt_callback_deliveries', {
        organization_id: `eq.${subscription.organization_id}`, subscription_id: `eq.${subscription.id}`, status: status ? `eq.${status}` :
            undefined, order: 'created_at.desc', limit: PAGE,
    }), options), [subscription.id, status], 3000);
    const [circuitState, why, at] = circuit(subscription, status ? [] : state.data ?? []);
    return html`<p class="crumbs"><a href=${href('webhooks')}>Webhooks</a></p>
        <${Head} title="Webhook" note=${html`<code class="break">${subscription.callback_url}</code> gets <code>
            ${subscription.topic}</code>`}>
            ${isAdmin.value && html`<button type="button" onClick=${() => setRotates(true)}>Rotate secret…</button>
            <${Action} call=${rpc('replay_mqtt_callback_deliveries', { subscription_id: subscription.id })}
                done=${(answer) => { say(`${count(answer.replayed)} will be posted again.`); state.reload(); }}>Post dead ones again<//>`}
        <//>
        ${!status && html`<p><${Badge} state=${{ open: 'open', failing: 'waiting', closed: 'active', gone: 'gone', paused: 'paused' }[circuitState] ??
            'idle'}>receiver: ${circuitState}<//> <span class="dim">${why} ${at && html`<${When} at=${at} />`}</span></p>`}
        <div class="segments" role="group" aria-label="Status">
            ${STATES.map(([key, text]) => html`<button key=${key} type="button" aria-pressed=${status === key}
                onClick=${() => setStatus(key)}>${text}</button>`)}</div>
        <${Waiting} of=${state} empty=${state.data?.length === 0 && 'No deliveries.'}>
            <${Table} label="Deliveries" head=${['Created', 'Status', 'Attempts', 'HTTP', 'Error', 'Next attempt']}>
                ${state.data?.map((d) => html`<tr key=${d.id}>
                <td class="nowrap"><button type="button" class="link" onClick=${() => setOpen(d)}>${moment(d.created_at)}</button></td><td>
                    <${Badge} state=${d.status} /></td><td class="right">${d.attempts}</td><td>${d.status_code ?? ''}</td>
                        <td class="break">${d.error ?? ''}</td>
                        <td class="nowrap"><${Next} of=${d} subscription=${subscription} /></td></tr>`)}<//>
        <//>
        ${open && html`<${Delivery} delivery=${open} subscription=${subscription} close=${() => setOpen(null)} done=${state.reload} />`}
        ${rotates && html`<${Rotate} subscription=${subscription} close=${() => setRotates(false)} />`}`;
}

export default function Webhooks() {
    const { id } = organization.value;
    const [hookId] = route.value.rest;
    const state = useLoad((options) => request(view('mqtt_subscriptions', { organization_id: `eq.${id}`, callback_url: 'not.is.null',
        order: 'created_at' }), options), [id], 5000);
    const hook = state.data?.find((s) => s.id === hookId);
    if (hook) return html`<${Hook} key=${hook.id} subscription=${hook} />`;
    return html`<${Head} title="Webhooks" note=${html`Subscriptions whose messages are posted to a URL. An <a
        href=${href('integrations')}>integration</a>'s page creates them.`} />
        <${Waiting} of=${state} empty=${state.data?.length === 0 ? 'No subscription has a webhook URL yet.' : hookId && state.data &&
            'There is no such webhook.'}>
            <div class="table" role="region" aria-label="Webhooks" tabindex="0"><table><thead><tr><th scope="col">URL</th>
                <th scope="col">Filter</th><th scope="col">Status</th></tr></thead><tbody>
                ${state.data?.map((s) => html`<tr key=${s.id}><td><a class="strong break" href=${href('webhooks', s.id)}>
                    ${s.callback_url}</a></td><td class="mono break">${s.topic}</td><td>
                        <${Badge} state=${s.callback_gone_at ? 'gone' : s.is_paused ? 'paused' : s.status} /></td></tr>`)}
            </tbody></table></div>
        <//>`;
}

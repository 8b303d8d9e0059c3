// From nothing to the first reading on screen.
import { html, useEffect, useState } from '../vendor/view.js';
import { request, rpc, view } from '../api.js';
import { useDevice } from '../live.js';
import { Action, Badge, Card, Choice, Head, Problem, Text, mistake, say, useLoad } from '../parts.js';
import { topicBy } from '../snippets.js';
import { caller, go, href, isAdmin, organization, organizations, signIn } from '../state.js';
import { NewLogin } from './credentials.js';
import { Readings } from './readings.js';

const STEPS = ['Organization', 'Integration', 'Device', 'First message'];

function Steps({ at }) {
    return html`<ol class="steps" aria-label="Steps">
        ${STEPS.map((text, index) => html`<li key=${text} class=${index < at ? 'past' : ''} aria-current=${index === at ? 'step' :
            undefined}>${text}</li>`)}</ol>`;
}

const slugOf = (name) => name.toLowerCase().normalize('NFKD').replaceAll(/[^a-z0-9]+/g, '-').replaceAll(/^-+|-+$/g, '').slice(0, 48);

function OrganizationStep() {
    const [name, setName] = useState('');
    const [slug, setSlug] = useState('');
    if (!caller.value.is_operator) return html`<p
        class="empty">Your user belongs to no organization. An operator creates one, or an admin of one adds you: your user id is <code>
            ${caller.value.user_id}</code>.</p>`;
    const used = slug || slugOf(name);
    return html`<${Card} title="Create an organization"><p class="dim">Devices, people and data belong to one. You become its admin.</p>
        <div class="form">
        <${Text} label="Name" value=${name} set=${setName} wide placeholder="Acme Waterworks" />
        <${Text} label="Slug" value=${used} set=${setSlug} hint=${`Its topics start with org_${used || '…'}/.`} />
        <${Action} kind="primary" disabled=${!name} call=${() => rpc('create_organization', { name, slug: used, admin_user_id:
            caller.value.user_id })}
            done=${async (row) => { localStorage.setItem('topicbase.organization', row.slug); await signIn(); go('start');
                }}>Create the organization<//>
    </div><//>`;
}

function IntegrationStep({ done }) {
    if (!isAdmin.value) return html`<p class="empty">The organization has no integration yet. An admin can create one.</p>`;
    return html`<${Card} title="Connect to a broker">
        <p class="dim">The hosted broker runs beside this database and needs no settings. For a broker of your own, go to <a
            href=${href('integrations')}>Integrations</a>.</p>
        <${Action} kind="primary" call=${rpc('upsert_integration', { organization_id: organization.value.id, name: 'Hosted broker',
            integration_type: 'mqtt_hosted', settings: {} })} done=${done}>Use the hosted broker<//><//>`;
}

function DeviceStep({ integrations, done }) {
    const [integrationId, setIntegration] = useState(integrations[0].id);
    const [name, setName] = useState('sensor01');
    const [device, setDevice] = useState(null);
    if (!isAdmin.value) return html`<p class="empty">Only admins of the organization can make a login for a device.</p>`;
    const { settings } = integrations.find((i) => i.id === integrationId);
    const topic = topicBy(settings.topic_pattern, organization.value.topic_prefix, name || '…', 'telemetry');
    // Two calls, one after the other; each is shown as it is made.
    return html`<${Card} title="Register a device"><div class="form">
        ${integrations.length > 1 && html`<${Choice} label="Integration" value=${integrationId} set=${setIntegration}
            options=${integrations.map((i) => [i.id, i.name])} wide />`}
        <${Text} label="Id of the device in its topics" value=${name} set=${setName} wide disabled=${Boolean(device)}
            hint=${html`It sends to <code>${topic}</code>.`} />
        ${device
            ? html`<${Action} kind="primary" call=${rpc('generate_mqtt_credentials', { integration_id: integrationId, device_id: device.id
                })} done=${(login) => done(device, login, topic)}>Make a login for it<//>`
            : html`<${Action} kind="primary" call=${() => { if (!name) throw mistake('The id is empty.');
                return rpc('sync_device', { integration_id: integrationId, external_id: name }); }}
                    done=${setDevice}>Register the device<//>`}
    </div><//>`;
}

function FirstMessage({ device, login, topic }) {
    const { data, error, isFollowed } = useDevice(organization.value.id, device.id, true);
    const seen = data?.last_seen_at && data;
    useEffect(() => {
        if (!seen) return;
        say('The first message has arrived.');
        document.getElementById('first').scrollIntoView({ block: 'nearest' });
    }, [Boolean(seen)]);
    return html`<${Card} title=${`Let ${device.external_id} send`} wide>
        <${NewLogin} login=${login} topic=${topic} /><//>
        <${Card} title="First message" id="first" wide aside=${html`<${Badge} state=${seen ? 'live' : 'waiting'} />`}>
            <${Problem} error=${error} />
            ${seen
                ? html`<${Readings} device=${seen} shows="plots" span=${300} isTold=${isFollowed} isFirst /><p>
                    <a class="button primary" href=${href('devices', device.id)}>Go to the device</a></p>`
                : html`<p class="awaits" role="status"><span class="pulse" aria-hidden="true">
                    </span>Waiting for the first message… Run one of the snippets above.</p>`}
        <//>`;
}

export default function Start() {
    const current = organization.value;
    const [made, setMade] = useState(null); // {device, login}
    const integrations = useLoad((options) => (current ?
        request(view('device_integrations', { organization_id: `eq.${current.id}`, status: 'neq.inactive', order:
            'integration_type.desc,name' }), options) : []), [current?.id]);
    const step = !organizations.value.length ? 0 : !integrations.data?.length ? 1 : made ? 3 : 2;
    return html`<${Head} title="Connect a device" note=${current ? html`In <strong>${current.name}</strong>` :
        'Four steps to the first reading.'} />
        <${Steps} at=${step} />
        ${step === 0 && html`<${OrganizationStep} />`}
        ${step > 0 && integrations.error && html`<${Problem} error=${integrations.error} />`}
        ${step === 1 && integrations.data && html`<${IntegrationStep} done=${integrations.reload} />`}
        ${step === 2 && html`<${DeviceStep} integrations=${integrations.data}
            done=${(device, login, topic) => setMade({ device, login, topic })} />`}
        ${step === 3 && html`<${FirstMessage} ...${made} />`}`;
}

// What the user is invited to.
import { html } from '../vendor/view.js';
import { request, rpc } from '../api.js';
import { Action, Badge, say, useLoad } from '../parts.js';
import { signIn } from '../state.js';

export function Invitations() {
    const state = useLoad((options) => request(rpc('list_organization_invitations'), options), [], 15000);
    const rows = state.data ?? [];
    return html`${rows.map((row) => html`<div key=${row.organization_id} class="card invitation">
        <p class="grow">You are invited to <strong>${row.organization_name}</strong> <${Badge} state=${row.role} /></p>
        <${Action} kind="primary" name=${`Join ${row.organization_name}`}
            call=${rpc('accept_organization_invitation', { organization_id: row.organization_id })}
            done=${async () => { say('Welcome.'); await signIn(); state.reload(); }}>Join<//>
    </div>`)}`;
}

// The frame around the pages: sign-in, navigation, the chosen organization.
import { effect, html, render, useEffect, useState } from './vendor/view.js';
import { calls, claims, curl, logins, refused, setToken, token } from './api.js';
import { clock } from './format.js';
import { Icon } from './icons.js';
import { begin, end, isRenewed, leave } from './login.js';
import { Badge, Code, Dialog, Problem, Said } from './parts.js';
import { Invitations } from './pages/invitations.js';
import { caller, go, href, organization, organizations, route, signIn, signOut, theme, trouble } from './state.js';
import { isLive } from './stream.js';

const PAGES = {
    overview: ['Overview', () => import('./pages/overview.js')],
    devices: ['Devices', () => import('./pages/devices.js')],
    messages: ['Messages', () => import('./pages/messages.js')],
    integrations: ['Integrations', () => import('./pages/integrations.js')],
    'dead-letters': ['Dead letters', () => import('./pages/dead-letters.js')],
    webhooks: ['Webhooks', () => import('./pages/webhooks.js')],
    access: ['Access', () => import('./pages/access.js')],
    queue: ['Queue', () => import('./pages/queue.js')],
    start: ['Connect a device', () => import('./pages/start.js')],
    installation: ['Installation', () => import('./pages/installation.js')],
};
const loaded = new Map();
const TOLD = 'Live: changes show as they happen';
const ASKS = 'Without the live stream: pages ask again every few seconds';

function Page() {
    const { page } = route.value;
    const known = PAGES[page];
    const [, again] = useState(0);
    useEffect(() => {
        let gone = false;
        if (known && !loaded.has(page)) known[1]().then((module) => {
            loaded.set(page, module.default);
            if (!gone) again((n) => n + 1);
        });
        return () => {
            gone = true;
        };
    }, [page]);
    if (!known) return html`<p class="empty">There is no such page. <a href=${href('overview')}>Go to the overview</a>.</p>`;
    const Found = loaded.get(page);
    if (!Found) return html`<p class="waiting" role="status">Loading…</p>`;
    // Nothing of one organization may stay on the page of another.
    return html`<${Found} key=${`${organization.value?.id}/${page}/${route.value.rest[0] ?? ''}`} />`;
}

function TokenForm({ primary }) {
    const [text, set] = useState('');
    function submit(event) {
        event.preventDefault();
        if (text.trim()) setToken(text.trim());
    }
    return html`<form class="token" onSubmit=${submit}>
        <p class="dim">Sign in with a token of the API (a JWT). It stays in this tab and is sent to this installation only.</p>
        <label class="field wide"><span>Token</span><textarea rows="4" spellcheck="false" autocomplete="off" value=${text}
            onInput=${(e) => set(e.currentTarget.value)}></textarea></label>
        <button class=${primary ? 'primary' : ''} type="submit" disabled=${!text.trim()}>${primary ? 'Sign in' : 'Use the token'}</button>
    </form>`;
}

function SignIn({ reason }) {
    const [error, setError] = useState(null);
    return html`<main class="signin"><div class="card">
        <img src="logo.svg" alt="" width="44" height="44" />
        <h1>Topicbase</h1>
        <${Problem} error=${error ?? reason} />
        ${hasProvider
            ? html`<button class="primary" type="button" onClick=${() => leave().catch(setError)}>Sign in</button>
                <details><summary>Sign in with a token</summary><${TokenForm} /></details>`
            : html`<${TokenForm} primary />
                <p class="dim">On a local stack, <code>bin/stack console</code> prints an address that signs you in.</p>`}
    </div></main>`;
}

function signInAgain() {
    if (hasProvider) leave().catch((error) => (refused.value = error));
    else setToken(null);
}

function signOutHere() {
    setToken(null);
    end();
}

function Calls({ close }) {
    const [open, set] = useState(null);
    return html`<${Dialog} title="API calls of this page" close=${close}>
        <p class="dim">What the console does, it does through the HTTP API. These are its latest calls,
            as commands for a shell in which <code>$TOKEN</code> holds your token.</p>
        <ul class="calls">${calls.value.map((entry) => html`<li key=${entry.at + entry.call.url}>
            <button type="button" class="quiet" aria-expanded=${open === entry} onClick=${() => set(open === entry ? null : entry)}>
                <span class="mono">${clock(entry.at)}</span> <${Badge} state=${entry.status >= 400 || !entry.status ? 'error' : 'done'}>
                    ${entry.status || 'no answer'}<//>
                <span class="mono grow">${entry.call.method} ${decodeURIComponent(new URL(entry.call.url).pathname.replace('/rest/v1',
                    ''))}</span><span class="dim">${Math.round(entry.ms)} ms</span>
            </button>
            ${open === entry && html`<${Code} text=${curl(entry.call)} label="curl command" />`}
        </li>`)}</ul>
    <//>`;
}

function Expiry() {
    const [now, set] = useState(Date.now());
    useEffect(() => {
        const timer = setInterval(() => set(Date.now()), 15000);
        return () => clearInterval(timer);
    }, []);
    const left = (claims().exp ?? Infinity) * 1000 - now;
    if (left > 300000 || isRenewed()) return null;
    return html`<div class="banner" role="status">${left > 0 ? 'Your token expires within five minutes.' :
        'Your token has expired.'} <button type="button" onClick=${signInAgain}>Sign in again</button></div>`;
}

function Navigation({ open, close }) {
    const { page } = route.value;
    const link = (name) => html`<a key=${name} href=${href(name)} aria-current=${page === name ? 'page' : undefined} onClick=${close}>
        <${Icon} name=${name} />${PAGES[name][0]}</a>`;
    const own = ['overview', 'devices', 'messages', 'integrations', 'dead-letters', 'webhooks', 'access', 'queue'];
    return html`<nav class=${`side ${open ? 'open' : ''}`} aria-label="Pages" id="side">
        <a class="brand" href=${href('overview')}><img src="logo.svg" alt="" width="28" height="28" />Topicbase</a>
        ${organization.value && own.map(link)}
        <hr />
        ${(organization.value || caller.value?.is_operator) && link('start')}
        ${caller.value?.is_operator && link('installation')}
    </nav>`;
}

function Top({ toggle, open, showCalls }) {
    const all = organizations.value;
    const modes = { auto: 'light', light: 'dark', dark: 'auto' };
    return html`<header class="top">
        <button type="button" class="quiet icon-only burger" aria-label="Pages" aria-expanded=${open} aria-controls="side"
            onClick=${toggle}><${Icon} name="menu" /></button>
        ${all.length > 0 && html`<label class="organization"><span class="unseen">Organization</span>
            <select value=${organization.value.slug}
                onChange=${(e) => (location.hash = `#/${e.currentTarget.value}/${PAGES[route.value.page] ? route.value.page :
                    'overview'}`)}>
                ${all.map((o) => html`<option key=${o.id} value=${o.slug} selected=${o.id === organization.value.id}>${o.name}</option>`)}
            </select></label>`}
        ${organization.value && html`<${Badge} state=${organization.value.role ?? 'service'}>${organization.value.role ??
            'service_role'}<//>`}
        <span class="grow"></span>
        <span class=${`dot ${isLive.value ? 'live' : ''}`} role="img" aria-label=${isLive.value ? TOLD : ASKS} title=${isLive.value ? TOLD :
            ASKS}></span>
        <button type="button" class="quiet" aria-label="API calls" title="API calls" onClick=${showCalls}><${Icon} name="code" />
            <span class="wide-only">API calls</span></button>
        <button type="button" class="quiet icon-only" aria-label=${`Colours: ${theme.value}; change`} title=${`Colours: ${theme.value}`}
            onClick=${() => (theme.value = modes[theme.value])}><${Icon} name="theme" /></button>
        <button type="button" class="quiet" aria-label="Sign out" title="Sign out" onClick=${signOutHere}><${Icon} name="out" />
            <span class="wide-only">Sign out</span></button>
    </header>`;
}

function Frame() {
    const [open, setOpen] = useState(false);
    const [shows, setShows] = useState(false);
    const { page } = route.value;
    useEffect(() => {
        if (organizations.value.length === 0 && caller.value.is_operator && page === 'overview') go('start');
        document.getElementById('main').focus({ preventScroll: true });
        scrollTo(0, 0);
    }, [page, route.value.rest[0]]);
    const isForeign = organizations.value.length > 0 && !['', '-'].includes(route.value.slug) &&
        !organizations.value.some((o) => o.slug === route.value.slug);
    return html`<a class="skip" href="#main" onClick=${(e) => { e.preventDefault(); document.getElementById('main').focus();
        }}>Skip to the page</a>
    <${Navigation} open=${open} close=${() => setOpen(false)} />
    <div class="body">
        <${Top} toggle=${() => setOpen(!open)} open=${open} showCalls=${() => setShows(true)} />
        <${Expiry} />
        <main id="main" tabindex="-1">
            ${caller.value.user_id && html`<${Invitations} />`}
            ${isForeign
                ? html`<p class="empty">There is no organization <strong>
                    ${route.value.slug}</strong> that you may see. <a href=${href('overview')}>Go to ${organization.value.name}</a>.</p>`
                : organization.value || ['start', 'installation'].includes(page)
                    ? html`<${Page} />`
                    : html`<div class="empty"><h1>No organization yet</h1>
                        <p>Your user belongs to no organization. An admin of one can add you: your user id is <code>${caller.value.user_id
                            ?? 'not a UUID'}</code>.</p></div>`}
        </main>
    </div>
    <${Said} />
    ${shows && html`<${Calls} close=${() => setShows(false)} />`}`;
}

function App() {
    const given = token.value;
    useEffect(() => {
        signOut();
        if (given) signIn();
    }, [logins.value]);
    if (!given || refused.value) return html`<${SignIn} reason=${refused.value} />`;
    if (trouble.value) return html`<main class="signin"><div class="card"><h1>Topicbase</h1><${Problem} error=${trouble.value} />
        <button type="button" class="primary" onClick=${signIn}>Try again</button> <button type="button"
            onClick=${signOutHere}>Sign out</button></div></main>`;
    if (!caller.value || !organizations.value) return html`<p class="waiting" role="status">Signing in…</p>`;
    return html`<${Frame} />`;
}

effect(() => {
    if (theme.value === 'auto') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme.value;
    localStorage.setItem('topicbase.theme', theme.value);
});
const hasProvider = await begin();
const place = document.getElementById('app');
place.replaceChildren();
render(html`<${App} />`, place);

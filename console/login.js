// Signing in with OpenID Connect: the authorization code flow with PKCE. Tokens are held in this tab's memory only; after a reload the
// provider, where the user is still signed in, is asked for new ones (prompt=none).
import { ApiError, adopt, refuseAddresses, refused, renewBy, token } from './api.js';

const PENDING = 'topicbase.login'; // sessionStorage: what the way back from the provider is checked by
const SIGNED_IN = 'topicbase.signed_in'; // localStorage: whether asking the provider without a click is worth it
const NEED_PAGE = new Set(['login_required', 'interaction_required', 'consent_required', 'account_selection_required']);
const EARLY = 30000; // tokens are renewed so long before they end
const HERE = new URL('.', location.href.split(/[?#]/)[0]).href;

let settings; // of the provider
let session = null; // {provider, client, refreshToken}

/** `config.json` beside the console: {"oidc": {issuer, client_id, scope, parameters}}, or without it. */
async function configuration() {
    const response = await fetch('config.json', { cache: 'no-store' });
    if (response.status === 404) return {};
    if (!response.ok) throw new Error(`config.json: HTTP ${response.status}`);
    return response.json();
}

const oauth = () => import('./vendor/oauth.js');

function failed(error) {
    if (error instanceof ApiError) return error;
    const body = error.cause ?? {};
    return new ApiError(error.status ?? 0, {
        message: error.error ?? 'login_failed',
        details: error.error_description ?? (typeof body === 'string' ? body : error.message),
        hint: 'Sign in again; if that does not help, show this to whoever runs the installation.',
    });
}

/** What all requests to the provider have: without TLS only on this machine. */
function options(library, more = {}) {
    const { protocol, hostname } = new URL(settings.issuer);
    const isLocal = protocol === 'http:' && ['127.0.0.1', 'localhost', '[::1]'].includes(hostname);
    return { ...more, [library.allowInsecureRequests]: isLocal };
}

async function discover(library) {
    if (!crypto.subtle) throw new Error('The browser offers cryptography to pages served over HTTPS only.');
    const issuer = new URL(settings.issuer);
    let response;
    try {
        response = await library.discoveryRequest(issuer, options(library));
    } catch {
        throw new ApiError(0, { message: 'provider_unreachable', details: `${settings.issuer} does not answer.`,
            hint: 'Is it running, and does the Content-Security-Policy of the gateway name it?' });
    }
    return library.processDiscoveryResponse(issuer, response);
}

/** Leaves for the provider, which sends the browser back to this page. Raises ApiError. */
export async function leave() {
    try {
        await go();
    } catch (error) {
        throw failed(error);
    }
}

async function go({ silently = false } = {}) {
    const library = await oauth();
    const provider = await discover(library);
    const pending = { state: library.generateRandomState(), nonce: library.generateRandomNonce(),
        verifier: library.generateRandomCodeVerifier(), hash: location.hash, silently };
    sessionStorage.setItem(PENDING, JSON.stringify(pending));
    const url = new URL(provider.authorization_endpoint);
    const query = {
        client_id: settings.client_id, redirect_uri: HERE, response_type: 'code', scope: settings.scope ?? 'openid',
        state: pending.state, nonce: pending.nonce, code_challenge: await library.calculatePKCECodeChallenge(pending.verifier),
        code_challenge_method: 'S256', ...settings.parameters, ...(silently ? { prompt: 'none' } : {}),
    };
    for (const [key, value] of Object.entries(query)) url.searchParams.set(key, value);
    location.assign(url);
    await new Promise(() => {}); // the page is left
}

function keep(provider, client, tokens) {
    session = { provider, client, refreshToken: tokens.refresh_token ?? session?.refreshToken };
    localStorage.setItem(SIGNED_IN, '1');
    adopt(tokens.access_token);
}

/** Back from the provider: the code of the address becomes tokens. */
async function come(returned) {
    const pending = JSON.parse(sessionStorage.getItem(PENDING));
    sessionStorage.removeItem(PENDING);
    history.replaceState(null, '', HERE + (pending?.hash ?? ''));
    dispatchEvent(new HashChangeEvent('hashchange'));
    if (!pending) return; // a link from elsewhere, or an old one
    if (pending.silently && NEED_PAGE.has(returned.get('error'))) {
        localStorage.removeItem(SIGNED_IN);
        return;
    }
    const library = await oauth();
    const provider = await discover(library);
    const client = { client_id: settings.client_id };
    const checked = library.validateAuthResponse(provider, client, returned, pending.state);
    const response = await library.authorizationCodeGrantRequest(provider, client, library.None(), checked, HERE, pending.verifier,
        options(library, { additionalParameters: settings.parameters }));
    keep(provider, client, await library.processAuthorizationCodeResponse(provider, client, response, { expectedNonce: pending.nonce,
        requireIdToken: true }));
}

let renewal = null;
/** Renews the token shortly before it ends; many callers share one request. */
renewBy(EARLY, () => {
    if (!session?.refreshToken) return null;
    renewal ??= (async () => {
        try {
            const library = await oauth();
            const { provider, client, refreshToken } = session;
            const response = await library.refreshTokenGrantRequest(provider, client, library.None(), refreshToken,
                options(library, { additionalParameters: settings.parameters }));
            keep(provider, client, await library.processRefreshTokenResponse(provider, client, response));
        } catch (error) {
            // An answer is an end; without one the next call tries again.
            if (error.status && session) {
                session.refreshToken = undefined;
                refused.value = failed(error);
            }
        } finally {
            renewal = null;
        }
    })();
    return renewal;
});

/** Whether the token renews itself. */
export const isRenewed = () => Boolean(session?.refreshToken);

/** Ends the session here and at the provider. */
export async function end() {
    localStorage.removeItem(SIGNED_IN);
    if (!session) return;
    const { provider, client, refreshToken } = session;
    session = null;
    const library = await oauth();
    if (refreshToken && provider.revocation_endpoint)
        await library.revocationRequest(provider, client, library.None(), refreshToken, options(library)).catch(() => {});
    if (!provider.end_session_endpoint) return;
    const url = new URL(provider.end_session_endpoint);
    url.searchParams.set('client_id', client.client_id);
    url.searchParams.set('post_logout_redirect_uri', HERE);
    location.assign(url);
}

/** Before the first page: whether there is a provider. Signs in where that takes no click. */
export async function begin() {
    const returned = new URLSearchParams(location.search);
    try {
        settings = (await configuration()).oidc;
        if (!settings) return false;
        refuseAddresses();
        if (returned.has('state')) await come(returned);
        else if (!token.value && localStorage.getItem(SIGNED_IN)) await go({ silently: true });
    } catch (error) {
        refused.value = failed(error);
    }
    return Boolean(settings);
}

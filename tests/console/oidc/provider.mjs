// A certified OpenID Connect provider (npm's oidc-provider) for the console: anyone may log in, as the user whose id they type.
//   node provider.mjs PORT CONSOLE_URL RESOURCE SECONDS: access tokens for RESOURCE live that long.
// SIGUSR1: it signs with a new key, and still publishes the old one; SIGUSR2: it publishes the new one alone.
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import Provider from 'oidc-provider';
import MemoryAdapter from 'oidc-provider/lib/adapters/memory_adapter.js';

class Adapter extends MemoryAdapter {} // with one storage for the process: a new key ends no session

const [port, console_, resource, seconds] = process.argv.slice(2);
let number = 0;

function key() {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    return { ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256', kid: `key-${++number}` };
}

function provider(keys) {
    const made = new Provider(`http://127.0.0.1:${port}`, {
        adapter: Adapter,
        jwks: { keys },
        clients: [{
            client_id: 'console', token_endpoint_auth_method: 'none', response_types: ['code'],
            grant_types: ['authorization_code', 'refresh_token'], redirect_uris: [console_], post_logout_redirect_uris: [console_],
        }],
        cookies: { keys: ['a key of this test'] },
        clientBasedCORS: () => true,
        findAccount: (context, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
        extraTokenClaims: () => ({ role: 'authenticated' }),
        issueRefreshToken: () => true,
        rotateRefreshToken: true,
        ttl: { AccessToken: Number(seconds), Grant: 3600, IdToken: 3600, Interaction: 3600, RefreshToken: 3600, Session: 3600 },
        features: {
            revocation: { enabled: true },
            resourceIndicators: {
                enabled: true,
                getResourceServerInfo: () => ({ audience: resource, scope: '', accessTokenFormat: 'jwt', accessTokenTTL: Number(seconds) }),
            },
        },
    });
    for (const event of ['authorization.error', 'grant.error', 'server_error'])
        made.on(event, (context, error) => process.stderr.write(`${event}: ${error.error_detail ?? error.stack}\n`));
    return made;
}

let keys = [key()];
let handler = provider(keys).callback();
function use(next) {
    keys = next;
    handler = provider(keys).callback();
    process.stdout.write(`keys: ${keys.map((one) => one.kid).join(' ')}\n`);
}
process.on('SIGUSR1', () => use([key(), ...keys]));
process.on('SIGUSR2', () => use(keys.slice(0, 1)));
createServer((request, response) => handler(request, response)).listen(Number(port), '127.0.0.1', () => use(keys));

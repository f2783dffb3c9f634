// An OpenID provider on 127.0.0.1, on a free port. It says one line of JSON per event:
//   at start       its issuer, and the id and secret of the client that is a service
//   > "rotate"     tokens are signed with new keys; the previous ones stay published
//   > "withdraw"   the newest signing keys alone stay published
// Either command, a line on standard input, is repeated as its answer. The program ends with its
// standard input, so it can't outlive the test that started it.
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

import Provider from 'oidc-provider';

// Standard output is for answers alone: the provider's own notices go to standard error.
globalThis.console = new console.Console(process.stderr);

const KINDS = {
  rsa: ['rsa', { modulusLength: 2048 }],
  ec: ['ec', { namedCurve: 'P-256' }],
  okp: ['ed25519', {}],
};
// One resource server per algorithm: access tokens for `urn:api:<alg>` are JWTs signed with it.
const RESOURCE = /^urn:api:(.+)$/;
// And one for people who log in from a page of this machine, as the public client `docs`.
const API = 'https://api.example.com';
const API_SCOPES = ['things:read', 'things:write'];
const KIND_OF = { RS256: 'rsa', PS256: 'rsa', ES256: 'ec', EdDSA: 'okp', Ed25519: 'okp' };

function newKey(kind, use) {
  const { privateKey } = generateKeyPairSync(...KINDS[kind]);
  return { ...privateKey.export({ format: 'jwk' }), kid: randomUUID(), use };
}

function newSigningKeys() {
  return Object.fromEntries(Object.keys(KINDS).map((kind) => [kind, newKey(kind, 'sig')]));
}

const docs = {
  client_id: 'docs',
  application_type: 'native', // its loopback redirect may be on any port (RFC 8252 §7.3)
  grant_types: ['authorization_code'],
  redirect_uris: ['http://127.0.0.1/docs/oauth2-redirect'],
  response_types: ['code'],
  token_endpoint_auth_method: 'none',
};
const client = { client_id: 'service', client_secret: randomUUID() };
// Without `alg`, like the RSA signing key: only its `use` tells them apart.
const encryptionKey = newKey('rsa', 'enc');
let generations = [newSigningKeys()];
let answer;

const server = createServer((request, response) => answer(request, response));
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const issuer = `http://127.0.0.1:${server.address().port}`;

// A Provider's keys are fixed at construction: new keys mean a new one behind the same server.
function publish() {
  const [signing] = generations;
  const provider = new Provider(issuer, {
    clients: [
      { ...client, grant_types: ['client_credentials'], redirect_uris: [], response_types: [] },
      docs,
    ],
    clientBasedCORS: () => true,
    cookies: { keys: [randomUUID()] },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: true }, // a login with any name and password
      encryption: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo(context, resource) {
          const alg = resource === API ? 'ES256' : RESOURCE.exec(resource)[1];
          return {
            accessTokenFormat: 'jwt',
            audience: resource,
            jwt: { sign: { alg, kid: signing[KIND_OF[alg]].kid } },
            scope: resource === API ? API_SCOPES.join(' ') : '',
          };
        },
        useGrantedResource: () => true,
      },
    },
    scopes: ['openid', ...API_SCOPES],
    jwks: { keys: [encryptionKey, ...generations.flatMap(Object.values)] },
    ttl: { ClientCredentials: 600 },
  });
  answer = provider.callback();
}

const commands = {
  rotate() {
    generations = [newSigningKeys(), ...generations];
  },
  withdraw() {
    generations = generations.slice(0, 1);
  },
};

function say(message) {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

publish();
say({ issuer, ...client });
for await (const line of createInterface({ input: process.stdin })) {
  commands[line]();
  publish();
  say(line);
}
process.exit();

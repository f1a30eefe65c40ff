// The platform and its authorization server, for the tests of the browser login.
//
//     node server.mjs PAYLOAD CALLBACK_URL...
//
// The authorization server is npm's oidc-provider: public native client, PKCE, refresh
// tokens that rotate. GET /api/v1/config answers as the platform does; PAYLOAD is a JSON
// file with the answer to a user who is logged in.
//
// Takes $PORT, or a free one; prints a line of JSON with its URL when it is ready; ends
// when stdin does. What a test may do to it is under /test:
//
//     POST /test/settings   {"life": seconds of an access token, "lose": answers to lose}
//     GET  /test/log        what has happened, and forgets it
import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import { exportJWK, generateKeyPair, jwtVerify } from 'jose';
import Provider, { errors } from 'oidc-provider';

const [payload, ...callbackUrls] = process.argv.slice(2);
const CLIENT = 'neuro-cli';
const AUDIENCE = 'https://platform.example';
const SCOPE = 'platform';
const HOUR = 3600; // seconds

const settings = { life: HOUR, lose: 0 };
let log = [];

const listener = http.createServer();
await new Promise((resolve, reject) => {
  listener.once('error', reject);
  listener.listen(Number(process.env.PORT || 0), '127.0.0.1', resolve);
});
const root = `http://127.0.0.1:${listener.address().port}`;
const showCodeUrl = `${root}/oauth/show-code`;
const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });

const provider = new Provider(root, {
  jwks: { keys: [{ ...(await exportJWK(privateKey)), alg: 'ES256', use: 'sig', kid: 'only' }] },
  cookies: { keys: [randomUUID()] },
  clients: [{
    client_id: CLIENT,
    application_type: 'native',
    token_endpoint_auth_method: 'none',
    id_token_signed_response_alg: 'ES256',
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    redirect_uris: [...callbackUrls, showCodeUrl],
  }],
  routes: {
    authorization: '/authorize',
    token: '/oauth/token',
    revocation: '/oauth/revoke',
    introspection: '/oauth/introspect',
    end_session: '/v2/logout',
  },
  pkce: { required: () => true },
  rotateRefreshToken: true,
  // As the platform's server: who may log in may stay logged in without a browser.
  issueRefreshToken: () => true,
  expiresWithSession: () => false,
  ttl: { AuthorizationCode: 60, Grant: HOUR, Interaction: HOUR, RefreshToken: HOUR, Session: HOUR },
  extraParams: {
    audience(_, value) {
      if (value !== AUDIENCE) throw new errors.InvalidRequest(`no such audience: ${value}`);
    },
  },
  features: {
    devInteractions: { enabled: true },
    introspection: { enabled: true },
    revocation: { enabled: true },
    rpInitiatedLogout: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => AUDIENCE,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        audience: AUDIENCE,
        scope: SCOPE,
        accessTokenFormat: 'jwt',
        accessTokenTTL: settings.life,
        jwt: { sign: { alg: 'ES256' } },
      }),
    },
  },
  findAccount: (_, name) => ({ accountId: name, claims: () => ({ sub: name }) }),
  extraTokenClaims: (_, token) => ({ identity: token.accountId }),
});

const oauth = {
  auth_url: `${root}/authorize`,
  token_url: `${root}/oauth/token`,
  logout_url: `${root}/v2/logout`,
  client_id: CLIENT,
  audience: AUDIENCE,
  callback_urls: callbackUrls,
  headless_callback_url: showCodeUrl,
};

async function isAuthorized(ctx) {
  const [, token] = /^Bearer (.+)$/.exec(ctx.get('authorization')) ?? [];
  if (token === undefined) return false;
  const expected = { issuer: root, audience: AUDIENCE };
  return jwtVerify(token, publicKey, expected).then(() => true, () => false);
}

async function body(ctx) {
  const chunks = [];
  for await (const chunk of ctx.req) chunks.push(chunk);
  return JSON.parse(Buffer.concat(chunks));
}

const pages = {
  'POST /test/settings': async (ctx) => {
    ctx.body = Object.assign(settings, await body(ctx));
  },
  'GET /test/log': (ctx) => {
    ctx.body = log;
    log = [];
  },
  'GET /api/v1/config': async (ctx) => {
    const authorized = await isAuthorized(ctx);
    log.push({ path: ctx.path, authorized });
    const more = authorized ? JSON.parse(fs.readFileSync(payload)) : {};
    ctx.body = { ...more, ...oauth, authorized };
  },
  'GET /oauth/show-code': (ctx) => {
    ctx.type = 'html';
    ctx.body = '<!doctype html><title>Code</title><h1>Copy the address of this page</h1>';
  },
};

provider.use(async (ctx, next) => {
  const page = pages[`${ctx.method} ${ctx.path}`];
  if (page) {
    await page(ctx);
    return;
  }
  if (ctx.path === '/authorize') {
    // The scope of the audience is granted to whoever names the audience.
    ctx.query = { ...ctx.query, scope: `${SCOPE} ${ctx.query.scope ?? ''}`.trim() };
  }
  const entry = { path: ctx.path };
  const isOfInterest = ctx.path.startsWith('/oauth/') || ctx.path.startsWith('/v2/');
  if (isOfInterest) log.push(entry);
  await next();
  if (isOfInterest) {
    const grantType = ctx.oidc?.params?.grant_type;
    Object.assign(entry, { grant_type: grantType, status: ctx.status, error: ctx.body?.error });
    if (grantType === 'refresh_token' && settings.lose > 0) {
      settings.lose -= 1;
      entry.lost = true;
      ctx.respond = false;
      ctx.req.socket.destroy();
    }
  }
  if (typeof ctx.body === 'string') {
    // The login page takes a font from another host: it does without.
    ctx.body = ctx.body.replace(/@import url\([^)]*\);/, '');
  }
});
provider.on('grant.revoked', () => log.push({ event: 'grant.revoked' }));
provider.on('server_error', (_, error) => console.error(error));

listener.on('request', provider.callback());
process.stdin.on('end', () => process.exit()).resume();
console.log(JSON.stringify({ url: root }));

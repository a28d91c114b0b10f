// A certified OpenID provider with development pages: server.mjs CLIENT_ID CLIENT_SECRET REDIRECT_URI
// [PORT] prints its issuer, then serves until its standard input ends. Who signs in says by the login what
// they are, as a query string: `sub=1&email=alice@acme.com&email_verified=true&name=Alice&groups=a,b`.
import http from 'node:http';
import Provider from 'oidc-provider';

const [client_id, client_secret, redirect_uri, port = 0] = process.argv.slice(2);

function person(id) {
  const { sub, email_verified, groups, ...rest } = Object.fromEntries(new URLSearchParams(id));
  return { sub, ...rest, email_verified: email_verified === 'true', groups: groups?.split(',') };
}

const server = http.createServer().listen(Number(port), '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [{ client_id, client_secret, redirect_uris: [redirect_uri] }],
    claims: { openid: ['sub', 'groups'], email: ['email', 'email_verified'], profile: ['name'] },
    findAccount: (_, id) => ({ accountId: id, claims: () => person(id) }),
  });
  server.on('request', provider.callback());
  console.log(issuer);
});

process.stdin.on('end', () => process.exit()).resume();

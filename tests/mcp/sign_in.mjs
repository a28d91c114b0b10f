// The official TypeScript SDK, ready to sign in with OAuth where it is refused, as editors are: connects with
// the key in KEY to MCP_URL, and prints what the person sees in the end.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(process.env.MCP_SERVER);
const load = (name) => import(pathToFileURL(require.resolve(`@modelcontextprotocol/sdk/client/${name}.js`)));
const { Client } = await load("index");
const { StreamableHTTPClientTransport } = await load("streamableHttp");

const authProvider = {
  redirectUrl: "http://127.0.0.1:1/cb",
  clientMetadata: { client_name: "test", redirect_uris: ["http://127.0.0.1:1/cb"] },
  clientInformation: () => undefined,
  saveClientInformation: () => {},
  tokens: () => undefined,
  saveTokens: () => {},
  redirectToAuthorization: () => {},
  saveCodeVerifier: () => {},
  codeVerifier: () => "",
};
const requestInit = { headers: { authorization: `Bearer ${process.env.KEY}` } };
const transport = new StreamableHTTPClientTransport(new URL(process.env.MCP_URL), { authProvider, requestInit });
const client = new Client({ name: "test", version: "1" });
try {
  await client.connect(transport);
  const { tools } = await client.listTools();
  console.log(JSON.stringify({ tools: tools.map((tool) => tool.name).sort() }));
  await client.close();
} catch (error) {
  console.log(JSON.stringify({ error: `${error.name}: ${error.message}` }));
}

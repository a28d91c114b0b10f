// Asks for a WebSocket over HTTP/2 (RFC 8441), and prints what it is answered.
import { connect } from "node:http2";

const session = connect(process.argv[2]);
session.on("remoteSettings", () => {
  const stream = session.request({ ":method": "CONNECT", ":protocol": "websocket", ":path": "/v1/responses" });
  let status = 0;
  let body = "";
  stream.on("response", (headers) => (status = headers[":status"]));
  stream.on("data", (data) => (body += data));
  stream.on("error", (error) => (body += error));
  stream.on("close", () => {
    console.log(JSON.stringify({ status, body }));
    session.close();
  });
});

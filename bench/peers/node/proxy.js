// http-proxy as its own README has it for WebSockets, on two workers: node proxy.js PORT CERTIFICATE KEY ORIGIN_PORT
"use strict";
const cluster = require("node:cluster");
const fs = require("node:fs");
const http = require("node:http");
const https = require("node:https");
const httpProxy = require("http-proxy");

const [port, certificate, key, origin] = process.argv.slice(2);

if (cluster.isPrimary) {
  // As many as every other proxy here has.
  for (let worker = 0; worker < 2; worker += 1) cluster.fork();
  process.on("SIGTERM", () => process.exit(0));
} else {
  const proxy = httpProxy.createProxyServer({
    target: { host: "127.0.0.1", port: Number(origin) },
    ws: true,
    // Kept connections to the origin; without an agent each request would make one.
    agent: new http.Agent({ keepAlive: true, maxFreeSockets: 64 }),
  });
  // A client or the origin that goes away ends its own tunnel and nothing else.
  proxy.on("error", (error, request, out) => out.destroy());
  const server = https.createServer(
    {
      cert: fs.readFileSync(certificate),
      key: fs.readFileSync(key),
      // The suite that all proxies here are measured with. Tickets are on by default, as with all of them.
      minVersion: "TLSv1.3",
      ciphers: "TLS_AES_128_GCM_SHA256",
      ecdhCurve: "X25519",
      // Uploads and downloads may be slow.
      requestTimeout: 0,
      headersTimeout: 0,
      noDelay: true,
    },
    (request, response) => proxy.web(request, response),
  );
  server.on("upgrade", (request, socket, head) => {
    socket.on("error", () => socket.destroy());
    proxy.ws(request, socket, head);
  });
  server.keepAliveTimeout = 60_000;
  server.listen({ port: Number(port), host: "127.0.0.1", backlog: 4096 });
}

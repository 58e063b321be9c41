// WebSocket client: `ws` on Node, connecting through the proxy as lib/peers.py tells it to.

'use strict';

const fs = require('node:fs');
const net = require('node:net');
const tls = require('node:tls');
const WebSocket = require('ws');
const { Session, obey, say } = require('../lib/node_session.js');

const ca = fs.readFileSync(process.argv[2]);
const sessions = new Map();

function connect({ conn, port, path, subprotocols = [], compress = false }) {
  // The TCP socket is made here, apart from the TLS on it, so that `reset` has something to reset.
  let socket;
  const ws = new WebSocket(`wss://localhost:${port}${path}`, subprotocols, {
    perMessageDeflate: compress,
    createConnection: () => {
      socket = net.connect({ host: '127.0.0.1', port });
      return tls.connect({ socket, ca, servername: 'localhost', ALPNProtocols: ['http/1.1'] });
    },
  });
  const offered = ws._req.getHeader('sec-websocket-extensions') ?? null;
  let accepted = null;
  let refused = false;
  ws.on('upgrade', (response) => {
    accepted = response.headers['sec-websocket-extensions'] ?? null;
    // Made before `open`: `ws` emits a message of the same segment in the turn that follows it.
    const session = new Session(conn, ws, { socket });
    sessions.set(conn, session);
  });
  ws.on('open', () => say({ event: 'open', conn, subprotocol: ws.protocol || null, offered, accepted }));
  ws.on('unexpected-response', (_request, response) => {
    refused = true; // the error that `terminate` brings about is no news
    const body = [];
    response.on('data', (chunk) => body.push(chunk));
    response.on('end', () => {
      const { statusCode: status, headers } = response;
      say({ event: 'refused', conn, status, headers, body: Buffer.concat(body).toString() });
      ws.terminate();
    });
  });
  ws.on('error', (error) => {
    if (!sessions.has(conn) && !refused) say({ event: 'failed', conn, error: String(error) });
  });
}

obey({ connect }, sessions);
say({ event: 'ready' });

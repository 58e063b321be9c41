// WebSocket and HTTP upstream: `ws` and `http` on Node, driven as lib/peers.py tells.

'use strict';

const http = require('node:http');
const { WebSocketServer } = require('ws');
const { Session, obey, say } = require('../lib/node_session.js');
const { answer } = require('./node_http.js');

const CHOSEN_SUBPROTOCOL = 'chat.v1';
const sessions = new Map();
const server = http.createServer(answer);

const websockets = new WebSocketServer({
  server,
  perMessageDeflate: true,
  maxPayload: 64 * 1024 * 1024,
  handleProtocols: (offered) => (offered.has(CHOSEN_SUBPROTOCOL) ? CHOSEN_SUBPROTOCOL : false),
  verifyClient: ({ req }, decide) => {
    if (req.url.startsWith('/refuse/')) {
      const fields = { 'WWW-Authenticate': 'Basic realm="interop"', 'X-Reason': 'node' };
      decide(false, 401, 'no entry: Node says so\n', fields);
    } else {
      decide(true);
    }
  },
});

websockets.on('headers', (headers, request) => {
  const line = headers.find((header) => /^sec-websocket-extensions:/i.test(header));
  request.accepted = line === undefined ? null : line.slice(line.indexOf(':') + 1).trim();
});

// The path says what to do, `/echo/<conn>` or `/plain/<conn>`, and so which connection of the driver's this is.
websockets.on('connection', (ws, request) => {
  const [, mode, conn] = new URL(request.url, 'http://upstream').pathname.split('/');
  sessions.set(conn, new Session(conn, ws, { echo: mode === 'echo' }));
  say({
    event: 'open',
    conn,
    path: request.url,
    subprotocol: ws.protocol || null,
    offered: request.headers['sec-websocket-extensions'] ?? null,
    accepted: request.accepted,
    headers: request.headers,
  });
});

// A port, an address and a Unix socket may be asked for; else the kernel chooses a port of 127.0.0.1.
const { INTEROP_SOCKET: path, INTEROP_PORT: port = 0, INTEROP_ADDRESS: host = '127.0.0.1' } = process.env;
obey({}, sessions);
server.listen(path ? { path } : { port, host }, () => say({ event: 'ready', port: server.address().port }));

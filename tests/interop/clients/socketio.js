// Socket.IO clients, of version 4 or 2, that connect through the proxy as `connect` tells them to.
//
// Each asks who it talks to, before and after the upgrade from polling to a WebSocket, and sends some bytes there and
// back. It tells `done` with the servers' names, or `failed` with what went wrong first; it connects only once.

'use strict';

const crypto = require('node:crypto');
const fs = require('node:fs');
const https = require('node:https');
const { obey, say } = require('../lib/node_session.js');

const ca = fs.readFileSync(process.argv[2]);
const version = process.argv[3];
const { io } = version === '2' ? { io: require('socket.io-client-v2') } : require('socket.io-client');

/** Keeps cookies as a browser does; version 4 does so itself, by `withCredentials`. */
class AgentWithCookies extends https.Agent {
  constructor(options) {
    super(options);
    this.cookies = new Map();
  }

  addRequest(request, ...rest) {
    const pairs = [...this.cookies].map(([name, value]) => `${name}=${value}`);
    if (pairs.length > 0) request.setHeader('Cookie', pairs.join('; '));
    const keep = (response) => {
      for (const line of response.headers['set-cookie'] ?? []) {
        const [, name, value] = /^([^=;]+)=([^;]*)/.exec(line);
        this.cookies.set(name, value);
      }
    };
    request.once('response', keep);
    request.once('upgrade', keep);
    super.addRequest(request, ...rest);
  }
}

function connect({ conn, port, transports, cookies }) {
  const Agent = version === '2' && cookies ? AgentWithCookies : https.Agent;
  const socket = io(`https://127.0.0.1:${port}`, {
    agent: new Agent({ ca, keepAlive: true }),
    ca,
    forceNew: true,
    reconnection: false,
    transports,
    withCredentials: cookies,
  });
  let over = false;
  const end = (event) => {
    if (over) return;
    over = true;
    say({ conn, ...event });
    socket.close();
  };
  const fail = (what) => (error) => end({ event: 'failed', error: `${what}: ${error?.description ?? error?.message ?? error}` });
  socket.on('connect_error', fail('connect_error'));
  socket.on('error', fail('error'));
  socket.on('disconnect', fail('disconnect'));
  const engine = socket.io.engine;
  engine.on('upgradeError', fail('upgradeError'));
  const upgraded = new Promise((resolve) => {
    if (transports.length === 1) resolve();
    else engine.once('upgrade', resolve);
  });

  const servers = new Set();
  const asked = (...event) => new Promise((resolve) => { socket.emit(...event, resolve); });
  const use = async () => {
    for (let times = 0; times < 3; times += 1) servers.add(await asked('who'));
    const data = crypto.randomBytes(20_000);
    if (!data.equals(Buffer.from(await asked('echo', data)))) throw new Error('other bytes came back');
  };
  socket.on('connect', async () => {
    try {
      await use();
      await upgraded;
      await use();
      end({ event: 'done', servers: [...servers], transport: socket.io.engine.transport.name });
    } catch (error) {
      fail('use')(error);
    }
  });
}

obey({ connect }, new Map());
say({ event: 'ready' });

// One WebSocket connection of `ws`, driven by commands and told about by events.
//
// The Node half of the protocol that lib/peers.py describes. Client and upstream differ only in how a connection comes
// to be; what happens on it is here.

'use strict';

const crypto = require('node:crypto');
const readline = require('node:readline');

/** Payloads up to this many bytes are told in full, longer ones by size and hash alone. */
const SHOWN_BYTES = 4096;

function say(event) {
  process.stdout.write(JSON.stringify(event) + '\n');
}

function digest(data) {
  return crypto.createHash('sha256').update(data).digest('hex');
}

class Session {
  constructor(conn, ws, { echo = false, socket = ws._socket } = {}) {
    this.conn = conn;
    this.ws = ws;
    this.socket = socket;
    ws.on('message', (data, binary) => {
      const shown = !binary && data.length <= SHOWN_BYTES ? data.toString() : undefined;
      this.say('message', { kind: binary ? 'binary' : 'text', size: data.length, sha256: digest(data), data: shown });
      if (echo) ws.send(data, { binary });
    });
    ws.on('ping', (data) => this.say('ping', { data: data.toString() }));
    ws.on('pong', (data) => this.say('pong', { data: data.toString() }));
    ws.on('error', (error) => { this.error = String(error); });
    ws.on('close', (code, reason) => this.say('closed', { code, reason: reason.toString(), error: this.error }));
  }

  say(event, fields) {
    say({ event, conn: this.conn, ...fields });
  }

  text({ data, repeat = 1 }) {
    const text = data.repeat(repeat);
    this.say('sending', { size: Buffer.byteLength(text), sha256: digest(text) });
    this.ws.send(text);
  }

  binary({ size }) {
    const data = crypto.randomBytes(size);
    this.say('sending', { size, sha256: digest(data) });
    this.ws.send(data);
  }

  /** Sends one message in several frames, with a ping after the first if `ping` is given. */
  fragments({ kind, parts, ping }) {
    parts.forEach((part, at) => {
      const data = kind === 'binary' ? Buffer.from(part) : part;
      this.ws.send(data, { binary: kind === 'binary', fin: at === parts.length - 1 });
      if (at === 0 && ping !== undefined) this.ws.ping(ping);
    });
  }

  ping({ data }) {
    this.ws.ping(data);
  }

  close({ code, reason }) {
    this.ws.close(code, reason);
  }

  /** Ends the connection by a TCP reset, without a close frame or a TLS alert. */
  reset() {
    this.socket.resetAndDestroy();
  }
}

/** Carries out the commands of stdin; ends the process when stdin ends, so that none outlives the driver. */
function obey(commands, sessions) {
  const lines = readline.createInterface({ input: process.stdin });
  lines.on('line', (line) => {
    const { do: name, ...command } = JSON.parse(line);
    try {
      if (name in commands) commands[name](command);
      else sessions.get(command.conn)[name](command);
    } catch (error) {
      say({ event: 'failed', conn: command.conn, error: String(error) });
    }
  });
  lines.on('close', () => process.exit(0));
}

module.exports = { Session, obey, say };

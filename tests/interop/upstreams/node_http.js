// Plain HTTP upstream on Node: what curl's cases ask for.

'use strict';

const crypto = require('node:crypto');
const fs = require('node:fs');

const ETAG = '"v1"';

/** Responses of `/stream` that wait for `/stream-more`, by the token in their query. */
const streams = new Map();

function json(response, value) {
  const body = JSON.stringify(value);
  response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) });
  response.end(body);
}

const routes = {
  '/hello': (_request, response) => {
    response.writeHead(200, { 'Content-Type': 'text/plain', 'Content-Length': 6 });
    response.end('hello\n');
  },

  // Which upstream this is, and what it saw of the request.
  '/inspect': (request, response) => {
    const { method, url, httpVersion, rawHeaders } = request;
    const server = process.env.INTEROP_NAME;
    request.resume().on('end', () => json(response, { server, method, url, httpVersion, rawHeaders }));
  },

  // A big file, with its length or in chunks.
  '/file': (_request, response, query) => {
    const path = process.env.INTEROP_FILE;
    const length = query.has('chunked') ? {} : { 'Content-Length': fs.statSync(path).size };
    response.writeHead(200, { 'Content-Type': 'application/octet-stream', ...length });
    fs.createReadStream(path).pipe(response);
  },

  '/upload': (request, response) => {
    const hash = crypto.createHash('sha256');
    let size = 0;
    request.on('data', (chunk) => {
      size += chunk.length;
      hash.update(chunk);
    });
    request.on('end', () => json(response, {
      size,
      sha256: hash.digest('hex'),
      length: request.headers['content-length'] ?? null,
      encoding: request.headers['transfer-encoding'] ?? null,
    }));
  },

  '/cached': (request, response) => {
    if (request.headers['if-none-match'] === ETAG) response.writeHead(304, { ETag: ETAG }).end();
    else response.writeHead(200, { ETag: ETAG, 'Content-Length': 7 }).end('cached\n');
  },

  // Fields that are for this hop alone, and one that is not.
  '/hops': (_request, response) => {
    response.writeHead(200, {
      Connection: 'keep-alive, X-Hop',
      'X-Hop': 'for the proxy alone',
      'Keep-Alive': 'timeout=5, max=7',
      'Proxy-Connection': 'keep-alive',
      'X-End': 'for the client',
      'Content-Length': 0,
    });
    response.end();
  },

  // Sends its second half only once `/stream-more` is asked for.
  '/stream': (_request, response, query) => {
    streams.set(query.get('token'), response);
    response.writeHead(200, { 'Content-Type': 'text/plain' });
    response.write('first\n');
  },
  '/stream-more': (_request, response, query) => {
    streams.get(query.get('token')).end('second\n');
    streams.delete(query.get('token'));
    response.writeHead(204).end();
  },
};

/** Answers one request that asks for no upgrade. */
function answer(request, response) {
  const url = new URL(request.url, 'http://upstream');
  const route = routes[url.pathname];
  if (route) route(request, response, url.searchParams);
  else response.writeHead(404, { 'Content-Length': 0 }).end();
}

module.exports = { answer };

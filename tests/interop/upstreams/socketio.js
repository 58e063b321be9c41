// Socket.IO server, of version 4 or 2, that tells with each acknowledgement which server it is.

'use strict';

const http = require('node:http');
const { obey, say } = require('../lib/node_session.js');

const server = http.createServer((_request, response) => response.writeHead(404, { 'Content-Length': 0 }).end());
const io = process.argv[2] === '2'
  ? require('socket.io-v2')(server)
  : new (require('socket.io').Server)(server);

io.on('connection', (socket) => {
  socket.on('who', (acknowledge) => acknowledge(process.env.INTEROP_NAME));
  socket.on('echo', (data, acknowledge) => acknowledge(data));
});

obey({}, new Map());
server.listen(0, '127.0.0.1', () => say({ event: 'ready', port: server.address().port }));

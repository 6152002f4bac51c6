// Node's own http server: says what it was asked.
//
// Runs inside a server's namespace: node node_web.js KEEP_ALIVE_MS ADDRESS PORT [ADDRESS PORT ...]
//
//     /...        a JSON object: method, path, headers, trailers, length and SHA-256 of the body
//     /count      the same without the SHA-256, for large bodies
//     /bytes/N    N octets, chunked, and a trailer
//     /hints      103 (Early Hints) before the object
//
// Prints "ready"; the end of standard input ends the program.
'use strict';
const crypto = require('crypto');
const http = require('http');

const PIECE = Buffer.alloc(65536, 'x');

function say(request, response) {
  const hash = request.url === '/count' ? null : crypto.createHash('sha256');
  let length = 0;
  request.on('data', (piece) => {
    length += piece.length;
    if (hash) hash.update(piece);
  });
  request.on('end', () => {
    const said = {method: request.method, path: request.url, headers: request.headers, trailers: request.trailers, length};
    if (hash) said.sha256 = hash.digest('hex');
    if (request.url === '/hints') response.writeEarlyHints({link: '</a.css>; rel=preload'});
    response.end(JSON.stringify(said));
  });
}

function bytes(count, response) {
  response.writeHead(200, {'Trailer': 'X-Sum'});
  const more = () => {
    while (count > 0) {
      const piece = PIECE.subarray(0, Math.min(count, PIECE.length));
      count -= piece.length;
      if (!response.write(piece)) return response.once('drain', more);
    }
    response.addTrailers({'X-Sum': 'sum'});
    response.end();
  };
  more();
}

const [keepAlive, ...endpoints] = process.argv.slice(2);
let waiting = endpoints.length / 2;
for (let place = 0; place < endpoints.length; place += 2) {
  const server = http.createServer((request, response) => {
    const found = request.url.match(/^\/bytes\/(\d+)$/);
    if (found) {
      request.resume();
      bytes(Number(found[1]), response);
    } else {
      say(request, response);
    }
  });
  server.keepAliveTimeout = Number(keepAlive);
  server.listen(Number(endpoints[place + 1]), endpoints[place], () => {
    if (--waiting === 0) console.log('ready');
  });
}
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));

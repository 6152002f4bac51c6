// Node's own http client with an agent that keeps connections: asks a server that says what it was asked (node_web.js).
//
//     node node_client.js URL REQUESTS CONNECTIONS
//
// Every third request is a POST with a length, every third one in chunks with a trailer. Prints a JSON object: how many were
// answered as they should be, how many connections there were, and what went wrong.
'use strict';
const crypto = require('crypto');
const http = require('http');

const [url, requests, connections] = process.argv.slice(2);
const agent = new http.Agent({keepAlive: true, maxSockets: Number(connections)});
const sockets = new Set();
const result = {good: 0, connections: 0, problems: []};

function ask(number) {
  return new Promise((resolve) => {
    const kind = ['GET', 'length', 'chunks'][number % 3];
    const body = kind === 'GET' ? '' : crypto.createHash('sha512').update(String(number)).digest('hex').repeat(1 + (number % 40));
    const headers = kind === 'length' ? {'Content-Length': body.length} : kind === 'chunks' ? {'Transfer-Encoding': 'chunked', 'Trailer': 'X-Number'} : {};
    const request = http.request(`${url}/${number}`, {agent, method: kind === 'GET' ? 'GET' : 'POST', headers}, (response) => {
      let text = '';
      response.on('data', (piece) => (text += piece));
      response.on('end', () => {
        try {
          const said = JSON.parse(text);
          const sum = crypto.createHash('sha256').update(body).digest('hex');
          const right = response.statusCode === 200 && said.path === `/${number}` && said.sha256 === sum &&
              (kind !== 'chunks' || said.trailers['x-number'] === String(number));
          if (right) result.good += 1;
          else result.problems.push(`${number}: ${response.statusCode} ${text}`);
        } catch (error) {
          result.problems.push(`${number}: ${error} ${text}`);
        }
        resolve();
      });
    });
    request.on('socket', (socket) => sockets.add(socket));
    request.on('error', (error) => {
      result.problems.push(`${number}: ${error}`);
      resolve();
    });
    if (kind === 'chunks') {
      request.addTrailers({'X-Number': String(number)});
      request.write(body.slice(0, 100));
      request.end(body.slice(100));
    } else {
      request.end(body);
    }
  });
}

Promise.all(Array.from({length: Number(requests)}, (_, number) => ask(number))).then(() => {
  result.connections = sockets.size;
  console.log(JSON.stringify(result));
  agent.destroy();
});

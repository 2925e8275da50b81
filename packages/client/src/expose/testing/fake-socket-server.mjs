// The far end of the fake link's WebSockets (`fake-socket.ts`): `r` asks for one message, everything else is passed on.
import { WebSocket, WebSocketServer } from 'ws';

export function fakeSockets(appPort, live) {
  const server = new WebSocketServer({ noServer: true, maxPayload: 32 << 20 });
  return (request, socket, head) => {
    const { path, fields } = JSON.parse(new URL(request.url, 'http://x').searchParams.get('head'));
    server.handleUpgrade(request, socket, head, (near) => join(near, path, fields));
  };

  function join(near, path, fields) {
    live.add(near);
    const protocols = fields.filter(([name]) => name === 'sec-websocket-protocol').flatMap(([, value]) => value.split(', '));
    const headers = Object.fromEntries(fields.filter(([name]) => name !== 'sec-websocket-protocol'));
    const far = new WebSocket(`ws://127.0.0.1:${appPort}${path}`, protocols, { headers, perMessageDeflate: false, maxPayload: 32 << 20 });
    const queue = [];
    let asked = 0;
    let ending = null;
    const pass = () => {
      while (asked > 0 && queue.length > 0) {
        asked--;
        near.send(queue.shift());
      }
      if (queue.length > 0) far.pause();
      else if (far.isPaused) far.resume();
      if (queue.length === 0 && ending !== null && near.readyState === WebSocket.OPEN) near.send(ending);
    };
    far.on('open', () => near.send(`o${JSON.stringify(far.protocol ? [['sec-websocket-protocol', far.protocol]] : [])}`));
    far.on('unexpected-response', () => near.send('xrefused'));
    far.on('error', () => {});
    far.on('message', (data, isBinary) => {
      queue.push(isBinary ? data : `t${data}`);
      pass();
    });
    far.on('close', (code, reason) => {
      ending = code === 1006 ? 'xbroken' : `c${JSON.stringify([code, String(reason)])}`;
      pass();
    });
    near.on('message', (data, isBinary) => {
      const text = isBinary ? '' : String(data);
      if (text === 'r') {
        asked++;
        pass();
      } else if (text.startsWith('c')) {
        const [code, reason] = JSON.parse(text.slice(1));
        if (code === null) far.close();
        else far.close(code, reason);
      } else far.send(isBinary ? data : text.slice(1), () => near.readyState === WebSocket.OPEN && near.send('a'));
    });
    near.on('close', () => {
      live.delete(near);
      far.terminate();
    });
  }
}

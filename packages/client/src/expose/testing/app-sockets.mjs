// The WebSockets of the tests' app.
import { WebSocketServer } from 'ws';

export function appSockets() {
  const server = new WebSocketServer({ noServer: true, maxPayload: 32 << 20, handleProtocols: (offered) => [...offered].find((each) => each.startsWith('good')) ?? false });
  const sockets = {
    /** Open now. */
    live: new Set(),
    /** Head fields of the last one. */
    headers: null,
    /** How the last one was closed. */
    closed: null,
    /** Octets that left for a reader who may be slow. */
    poured: 0,
    /** A promise that the next opening waits for. */
    held: null,
    async upgrade(request, socket, head) {
      sockets.headers = request.headers;
      const path = new URL(request.url, 'http://x').pathname;
      await sockets.held;
      if (path === '/ws/no') return void socket.end('HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n');
      return server.handleUpgrade(request, socket, head, (ws) => {
        sockets.live.add(ws);
        ws.on('error', () => {});
        ws.on('close', (code, reason) => {
          sockets.live.delete(ws);
          sockets.closed = [code, String(reason)];
        });
        if (path === '/ws/pour') pour(ws);
        else if (path === '/ws/deaf') deaf(ws);
        else ws.on('message', (data, isBinary) => ws.send(data, { binary: isBinary }));
      });
    },
  };
  /** Reads nothing: not even that it was closed. */
  function deaf(ws) {
    sockets.live.delete(ws);
    ws.pause();
  }
  function pour(ws) {
    const piece = Buffer.alloc(16 * 1024, 1);
    const next = () => {
      if (ws.readyState === ws.OPEN) ws.send(piece, () => ((sockets.poured += piece.length), setImmediate(next)));
    };
    next();
  }
  return sockets;
}

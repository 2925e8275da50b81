/** The fake link's WebSockets: each goes by a true one to the test's own server, which opens one to the app and passes on one message for each that is asked for. */
import { type Code, PeerageError } from '../../error.js';
import { type LinkSocket, SocketClose, type SocketMessage, type SocketRequest } from '../../fetch/exchange.js';

export async function openFakeSocket(base: string, { path, fields, signal }: SocketRequest, end: AbortSignal): Promise<LinkSocket> {
  const socket = new WebSocket(`${base.replace('http', 'ws')}/socket?${new URLSearchParams({ head: JSON.stringify({ path, fields }) }).toString()}`);
  socket.binaryType = 'arraybuffer';
  const arrived: (SocketMessage | SocketClose)[] = [];
  const sending: { taken: () => void; failed: (error: unknown) => void }[] = [];
  let over: SocketClose | PeerageError | null = null;
  let wake: () => void = () => {};
  const finish = (why: SocketClose | PeerageError): void => {
    over ??= why;
    for (const { failed } of sending.splice(0)) failed(over);
    socket.close();
    wake();
  };
  const cancel = (): void => finish(new PeerageError('cancelled', 'given up'));
  signal?.addEventListener('abort', cancel);
  end.addEventListener('abort', () => finish(new PeerageError('gone', 'the fake link was lost')));
  const opened = new Promise<readonly [string, string][]>((resolve, reject) => {
    socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => {
      if (typeof data !== 'string') arrived.push(new Uint8Array(data));
      else if (data.startsWith('t')) arrived.push(data.slice(1));
      else if (data.startsWith('o')) resolve(JSON.parse(data.slice(1)) as [string, string][]);
      else if (data.startsWith('a')) sending.shift()?.taken();
      else if (data.startsWith('x')) finish(new PeerageError(data.slice(1) as Code, 'as the test wants it'));
      else if (data.startsWith('c')) {
        const [code, reason] = JSON.parse(data.slice(1)) as [number, string];
        finish(new SocketClose(code, reason));
      }
      if (over !== null) reject(over as Error);
      wake();
    };
    socket.onclose = () => {
      finish(new PeerageError('gone', 'the fake link broke'));
      reject(over as Error);
    };
  });
  const answered = await opened.finally(() => signal?.removeEventListener('abort', cancel));
  return {
    fields: answered,
    async receive() {
      if (over === null && arrived.length === 0) socket.send('r');
      while (arrived.length === 0 && over === null) await new Promise<void>((resolve) => (wake = resolve));
      const next = arrived.shift() ?? over;
      if (next instanceof PeerageError) throw next;
      return next as SocketMessage | SocketClose;
    },
    send(message) {
      if (over !== null) return Promise.reject(over as Error);
      socket.send(typeof message === 'string' ? `t${message}` : message);
      return new Promise((taken, failed) => sending.push({ taken, failed }));
    },
    close: (code, reason = '') => over ?? socket.send(`c${JSON.stringify([code ?? null, reason])}`),
    cancel,
  };
}

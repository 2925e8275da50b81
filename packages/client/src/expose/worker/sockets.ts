/** Sends the port of a WebSocket on to the tab that has the link, with the fields that a browser would send. */
import { PeerageError } from '../../error.js';
import { originForm, requestFields } from '../../fetch/request-fields.js';
import { type SocketAsked, type SocketSays, type ToShell, VERSION } from '../messages.js';
import { isOwnPath } from '../route.js';
import type { Holders } from './holders.js';

declare const self: ServiceWorkerGlobalScope;

export async function passSocket(asked: SocketAsked, port: MessagePort, holders: Holders): Promise<void> {
  const say = (said: SocketSays): void => port.postMessage(said);
  try {
    const message = toHolder(asked);
    const holder = await holders.find();
    // Before the port leaves: the page is to know whose end is the end of its socket.
    say({ type: 'passed', holder: holder.id });
    holder.client.postMessage(message, [port]);
  } catch (error) {
    say({ type: 'failed', code: PeerageError.codeOf(error) });
    port.close();
  }
}

function toHolder({ version, path, protocols, page }: SocketAsked): ToShell {
  if (version !== VERSION) throw new PeerageError('unsupported', 'the page is of another release');
  const url = new URL(self.location.origin + path);
  if (url.origin !== self.location.origin || isOwnPath(url.pathname)) throw new PeerageError('refused', 'this address is none of the app');
  const fields = requestFields(
    {
      url,
      method: 'GET',
      mode: 'websocket',
      destination: 'websocket',
      cache: 'default',
      credentials: 'include',
      reload: false,
      referrer: '',
      fields: protocols.length === 0 ? [] : [['sec-websocket-protocol', protocols.join(', ')]],
      languages: self.navigator.languages,
      userAgent: self.navigator.userAgent,
    },
    null,
  );
  return { type: 'socket', version: VERSION, path: originForm(url), fields, page };
}

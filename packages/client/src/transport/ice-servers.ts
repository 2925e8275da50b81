/** Which ICE servers the signalling server names. */
import { PeerageError } from '../error.js';

const CONFIG_MS = 10_000;

/**
 * Asks the server whose base, `http(s)://…/__peerage/`, is given. To be fetched for each attempt: what it names for relays may be short-lived.
 * Rejects with `PeerageError`.
 */
export async function configuredIceServers(server: URL, signal: AbortSignal): Promise<RTCIceServer[]> {
  try {
    const config = await settings(new URL('config.json', server), signal);
    const servers = typeof config === 'object' && config !== null && 'iceServers' in config ? config.iceServers : null;
    if (Array.isArray(servers)) return servers as RTCIceServer[];
  } catch (error) {
    throw new PeerageError(signal.aborted ? 'cancelled' : 'unreachable-server', 'the server gave no configuration', { cause: error });
  }
  throw new PeerageError('unreachable-server', 'the server gave no configuration');
}

async function settings(url: URL, signal: AbortSignal): Promise<unknown> {
  const response = await fetch(url, { cache: 'no-store', signal: AbortSignal.any([signal, AbortSignal.timeout(CONFIG_MS)]) });
  return response.ok ? response.json() : null;
}

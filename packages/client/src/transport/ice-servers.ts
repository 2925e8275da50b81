/** Asks the signalling server which STUN and TURN servers to use. */
import { PeerageError, type Code } from '../error.js';
import { type IceServers, parseIceAnswer, parseIceServers } from '../protocol/ice-servers.js';
import { shortText } from './short-text.js';

/** A connection waits no longer than this for servers, and then does without. */
export const ICE_WITHIN = 2_000;
const CONFIG_WITHIN = 10_000;
/** Longest answer, in octets. */
const ANSWER_MAX = 64 * 1024;

/**
 * Servers with credentials made for a live id. `url`: `…/ice?id=ID` of the server where that id's socket is open with `token`.
 * Rejects with `PeerageError`; neither token nor credentials are in it.
 */
export async function mintedIceServers(url: URL, token: string, signal: AbortSignal): Promise<IceServers> {
  const answer = parseIceAnswer(await ask(url, { authorization: `Bearer ${token}` }, ICE_WITHIN, signal));
  if (answer === null) throw new PeerageError('malformed', 'the server’s ICE servers are no such list');
  return answer;
}

/**
 * What the server whose base, `http(s)://…/__peerage/`, is given names for everyone: nothing where it names nothing, or is no server of Peerage.
 * Rejects with `PeerageError` when it cannot be reached.
 */
export async function configuredIceServers(server: URL, signal: AbortSignal): Promise<readonly RTCIceServer[]> {
  try {
    const config = await ask(new URL('config.json', server), {}, CONFIG_WITHIN, signal);
    return parseIceServers((config as { iceServers?: unknown } | null)?.iceServers) ?? [];
  } catch (error) {
    const code = PeerageError.codeOf(error);
    if (code === 'unreachable-server' || code === 'timeout') throw new PeerageError('unreachable-server', 'the server cannot be reached', { cause: error });
    return [];
  }
}

/** The JSON of an answer that is one. */
async function ask(url: URL, headers: Readonly<Record<string, string>>, ms: number, signal: AbortSignal): Promise<unknown> {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), ms);
  try {
    // A redirect is no part of it, and would take the token along.
    const given = { headers: { ...headers }, cache: 'no-store', credentials: 'omit', redirect: 'error' } as const;
    const response = await fetch(url, { ...given, signal: AbortSignal.any([signal, late.signal]) });
    if (!response.ok) {
      await response.body?.cancel();
      throw refused(response.status);
    }
    const text = await shortText(response, ANSWER_MAX);
    if (text === null) throw new PeerageError('malformed', 'the server’s ICE servers are too long');
    return JSON.parse(text) as unknown;
  } catch (error) {
    if (signal.aborted) throw new PeerageError('cancelled', 'the attempt was cancelled');
    if (late.signal.aborted) throw new PeerageError('timeout', 'the server did not name its ICE servers in time');
    if (error instanceof PeerageError) throw error;
    // The text of a JSON error repeats what it could not read.
    if (error instanceof SyntaxError) throw new PeerageError('malformed', 'the server’s ICE servers are no JSON');
    throw new PeerageError('unreachable-server', 'the server cannot be reached', { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

function refused(status: number): PeerageError {
  const codes: Readonly<Record<number, Code>> = { 401: 'denied', 404: 'unsupported', 429: 'busy' };
  return new PeerageError(codes[status] ?? 'broken', `the server names no ICE servers (status ${status})`);
}

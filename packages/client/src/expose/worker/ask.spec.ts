import { describe, expect, it } from 'vitest';
import { PeerageError } from '../../error.js';
import { type ExchangeMessage, ask } from './ask.js';
import { Holder, type Holders } from './holders.js';

const MESSAGE: ExchangeMessage = { type: 'exchange', version: 0, method: 'POST', path: '/', fields: [], body: false };

describe('ask', () => {
  it('sends_nothing_for_a_page_that_gave_up_while_the_link_was_looked_for', async () => {
    const sent: unknown[] = [];
    const given = new AbortController();
    const holders = {
      find: async () => {
        given.abort();
        return new Holder('holder', { postMessage: (message: unknown) => sent.push(message) } as unknown as Client);
      },
    } as Holders;
    const failed = await ask(holders, MESSAGE, null, given.signal).catch((error: unknown) => PeerageError.codeOf(error));
    expect([failed, sent]).toEqual(['cancelled', []]);
  });
});

import { describe, expect, test, vi } from 'vitest';
import { Handlers } from './handlers.js';

describe('a registration', () => {
  test('that is over leaves nothing at its signal, however it ended', () => {
    const ends: ((handlers: Handlers, handler: () => void, end: () => void) => void)[] = [
      (_, __, end) => end(),
      (handlers, handler) => handlers.remove('e', handler),
      (handlers) => handlers.remove('e'),
      (handlers) => handlers.clear(),
      (handlers) => handlers.call('e', []),
      (handlers, handler) => void handlers.add('e', handler, false, undefined),
    ];
    for (const ending of ends) {
      const { signal } = new AbortController();
      const [added, removed] = [vi.spyOn(signal, 'addEventListener'), vi.spyOn(signal, 'removeEventListener')];
      const [handlers, handler] = [new Handlers(), () => undefined];
      ending(handlers, handler, handlers.add('e', handler, true, signal));
      expect([added, removed].map(({ mock }) => mock.calls.length)).toEqual([1, 1]);
      expect(removed.mock.calls[0]?.[1]).toBe(added.mock.calls[0]?.[1]);
    }
  });

  test('ends by its function and its signal; neither ends a later one of the same handler', () => {
    const [handlers, handler, abort] = [new Handlers(), vi.fn(), new AbortController()];
    const end = handlers.add('e', handler, false, abort.signal);
    handlers.remove('e', handler);
    handlers.add('e', handler, false, undefined);
    end();
    abort.abort();
    handlers.call('e', [1]);
    expect(handler.mock.calls).toEqual([[1]]);
  });

  test('of a signal that is aborted already is none', () => {
    const [handlers, handler] = [new Handlers(), vi.fn()];
    handlers.add('e', handler, false, AbortSignal.abort());
    handlers.call('e', []);
    expect(handler).not.toHaveBeenCalled();
  });

  test('that another handler removes is not called, and one that it makes anew is', () => {
    const [handlers, calls] = [new Handlers(), [] as string[]];
    const [gone, again] = [() => void calls.push('gone'), () => void calls.push('again')];
    handlers.add('e', () => (handlers.remove('e', gone), handlers.add('e', again, false, undefined)), false, undefined);
    handlers.add('e', gone, false, undefined);
    handlers.add('e', again, true, undefined);
    handlers.call('e', []);
    handlers.call('e', []);
    expect(calls).toEqual(['again', 'again']);
  });
});

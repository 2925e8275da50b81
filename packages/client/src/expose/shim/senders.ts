/** Messages from another tab come from the frame in it; the app knows that tab by its whole, which is the shell. */
import { HOOKS, type ShellWindow } from '../hooks.js';

export function nameSendersByTheirTab(): void {
  const property = Object.getOwnPropertyDescriptor(MessageEvent.prototype, 'source');
  if (property?.get === undefined) return;
  Object.defineProperty(MessageEvent.prototype, 'source', {
    ...property,
    get: new Proxy(property.get, { apply: (target, self, given) => tabOf(Reflect.apply(target, self, given) as MessageEventSource | null) }),
  });
}

function tabOf(sender: MessageEventSource | null): MessageEventSource | null {
  try {
    // Who opened this tab is known by the frame it did so from (`tab.ts`).
    if (sender === null || !('parent' in sender) || sender === window.opener) return sender;
    const { parent, top } = sender;
    return parent === top && parent !== sender && parent !== window.top && HOOKS in (parent as ShellWindow) ? parent : sender;
  } catch {
    // Another site's.
    return sender;
  }
}

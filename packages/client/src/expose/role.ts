/** Which tab of the origin has the link: the one that is granted the lock. */
import { holderLock, LINK_LOCK } from './messages.js';

/**
 * Waits for the link's lock as often as it is to be had. `hold` is called with the name of this holding, whose own lock is then held
 * too, and a signal for its end: another tab took the link over, because this one did not react. Never returns.
 */
export async function awaitLink(locks: LockManager, hold: (holder: string, end: AbortSignal) => Promise<void>): Promise<never> {
  for (;;) {
    const end = new AbortController();
    const holder = crypto.randomUUID();
    try {
      await locks.request(LINK_LOCK, () => locks.request(holderLock(holder), () => hold(holder, end.signal)));
    } catch (error) {
      // Stolen: the request rejects at once, `hold` ends a moment later.
      if (!(error instanceof DOMException && error.name === 'AbortError')) throw error;
    }
    end.abort();
  }
}

/** Takes the link from a tab that holds it and does not react: one that is frozen, or stuck in a dialog. */
export function takeLink(locks: LockManager): void {
  // Stealing frees the lock for whoever waits first; this tab is among those who wait.
  void locks.request(LINK_LOCK, { steal: true }, () => {});
}

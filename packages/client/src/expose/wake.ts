/** Notices that the machine slept, moved to another network, or is looked at again. */

const TICK_MS = 2_000;
/** A tick that comes so much later than it should was held up by more than other work. Browsers let hidden tabs tick once a minute; then it means nothing and costs little. */
const ASLEEP_MS = 5_000;

/** `moved`: what was begun on the old network cannot go on. */
export function onWake(woke: (moved: boolean) => void): void {
  addEventListener('online', () => woke(true));
  // Absent from Firefox and Safari, whatever the types say.
  (navigator as { connection?: EventTarget }).connection?.addEventListener('change', () => woke(true));
  document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && woke(false));
  let last = Date.now();
  setInterval(() => {
    const slept = Date.now() - last - TICK_MS > ASLEEP_MS;
    last = Date.now();
    if (slept) woke(true);
  }, TICK_MS);
}

/** What a page goes through. Where there is none, nothing is ever told. */

export interface PageEvents {
  /** It goes, perhaps for good. */
  onHide(): void;
  /** It is back from the back/forward cache. */
  onShow(): void;
  /** It was hidden, frozen or without a network, and is not any more. */
  onWake(): void;
}

/** Returns what ends it. */
export function watchPage({ onHide, onShow, onWake }: PageEvents): () => void {
  const over = new AbortController();
  const listen = (target: unknown, event: string, listener: (event: Event) => void): void => {
    if (typeof (target as Partial<EventTarget> | undefined)?.addEventListener === 'function') (target as EventTarget).addEventListener(event, listener, { signal: over.signal });
  };
  const { document } = globalThis as { document?: Document };
  listen(globalThis, 'pagehide', onHide);
  listen(globalThis, 'pageshow', (event) => (event as PageTransitionEvent).persisted && onShow());
  listen(globalThis, 'online', onWake);
  listen(document, 'resume', onWake);
  listen(document, 'visibilitychange', () => document?.visibilityState === 'visible' && onWake());
  return () => over.abort();
}

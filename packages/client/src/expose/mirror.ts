/** Shows the app's title and icon as the tab's own. */

/** Icons are fetched here: left to the browser, their paths would reach the server, as it asks for icons past the worker. */
const ICON_LIMIT = 256 * 1024;

export class Mirror {
  readonly #icon: HTMLLinkElement;
  #observer: MutationObserver | null = null;
  /** The last one asked for, shown or not: most pages of an app share it. */
  #iconAddress = '';

  /** `icon` is the shell's own `<link rel=icon>`. */
  constructor(icon: HTMLLinkElement) {
    this.#icon = icon;
  }

  follow(app: Document): void {
    this.#observer?.disconnect();
    this.#copy(app);
    const observer = new MutationObserver(() => this.#copy(app));
    this.#observer = observer;
    // While it is parsed, there may be no head yet; afterwards the rest of a lively page is none of our business.
    observer.observe(app, { childList: true, subtree: true, characterData: true });
    const parsed = (): void => {
      observer.disconnect();
      if (app.head && this.#observer === observer) observer.observe(app.head, { childList: true, subtree: true, characterData: true, attributes: true });
      this.#copy(app);
    };
    if (app.readyState === 'loading') app.addEventListener('DOMContentLoaded', parsed);
    else parsed();
    app.defaultView?.addEventListener('load', () => this.#observer === observer && this.#copy(app));
  }

  #copy(app: Document): void {
    document.title = app.title || app.location.pathname;
    const own = app.querySelector<HTMLLinkElement>('link[rel~="icon" i]')?.href;
    // Before the page is complete, the lack of an icon means nothing.
    const address = own ?? (app.readyState === 'complete' ? new URL('/favicon.ico', location.href).href : '');
    if (address === '' || address === this.#iconAddress) return;
    this.#iconAddress = address;
    void this.#show(address);
  }

  async #show(address: string): Promise<void> {
    try {
      const response = address.startsWith('data:') ? null : await fetch(address, { signal: AbortSignal.timeout(30_000) });
      if (response !== null && !response.ok) {
        await response.body?.cancel();
        return;
      }
      const icon = response === null ? address : await dataUrl(await response.blob());
      if (icon !== null && this.#iconAddress === address) this.#icon.href = icon;
    } catch {
      // Without an icon the tab keeps ours.
    }
  }
}

function dataUrl(icon: Blob): Promise<string | null> {
  if (!icon.type.startsWith('image/') || icon.size > ICON_LIMIT) return Promise.resolve(null);
  return new Promise((resolve) => {
    const reader = new FileReader();
    reader.onloadend = () => resolve(typeof reader.result === 'string' ? reader.result : null);
    reader.readAsDataURL(icon);
  });
}

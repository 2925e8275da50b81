/**
 * The tab's history and address, while the app lives in a frame. A page change in the frame is made an entry of the *shell*: entries of
 * a frame do not survive a reload of the tab. Where the browser has no Navigation API, the frame's entries stay its own, and only
 * going back across a reload is lost.
 */
import { wantedName } from './download.js';

export class AppHistory {
  readonly #frame: HTMLIFrameElement;
  /** Windows that are wired: the first document of a frame may reuse the window of the empty one before it. */
  readonly #wired = new WeakSet<object>();
  /** Called with each new document of the frame. */
  readonly #onDocument: (document: Document) => void;
  /** Whether the document under way is to become a new entry. It does so when it arrives: downloads and 204 never do. */
  #pushing = false;
  /** The navigation that begins now is ours. */
  #ours = false;
  /** The tab is on its way to another site. */
  #leaving = false;

  constructor(frame: HTMLIFrameElement, onDocument: (document: Document) => void) {
    this.#frame = frame;
    this.#onDocument = onDocument;
    frame.addEventListener('load', () => this.#arrived());
    addEventListener('popstate', () => this.#follow());
    // Absent from older browsers, whatever the types say.
    (globalThis.navigation as Navigation | undefined)?.addEventListener('navigate', (event) => this.#onShellNavigate(event));
  }

  /** Shows `address` in the frame, which replaces what it shows. */
  show(address: string): void {
    this.#ours = true;
    try {
      this.#frame.contentWindow?.location.replace(address);
    } finally {
      this.#ours = false;
    }
  }

  /** Back and forward of the tab. */
  #follow(): void {
    const at = this.#address();
    if (at === null || at === location.href) return;
    this.#pushing = false;
    this.show(location.href);
  }

  #onFrameNavigate(event: NavigateEvent): void {
    if (this.#ours || event.navigationType === 'traverse' || event.navigationType === 'reload' || event.destination.sameDocument) return;
    const url = new URL(event.destination.url);
    this.#pushing = false;
    if (!isWeb(url) || !event.cancelable || event.downloadRequest !== null || wantedName(url) !== null) return;
    if (url.origin !== location.origin) {
      // Another site may refuse to be framed, and its address should be seen.
      event.preventDefault();
      this.#leave(url, event.formData);
    } else if (event.navigationType === 'push' && event.formData === null) {
      event.preventDefault();
      this.#push(url);
    }
  }

  /** `target=_top` and `top.location = …`: the app's page, so it belongs into the frame. Breaking out of frames ends here. */
  #onShellNavigate(event: NavigateEvent): void {
    if (this.#leaving || event.navigationType === 'traverse' || event.navigationType === 'reload' || event.destination.sameDocument) return;
    const url = new URL(event.destination.url);
    if (url.origin !== location.origin || !event.cancelable || event.downloadRequest !== null) return;
    event.preventDefault();
    if (event.formData !== null) submit(url, event.formData, this.#frame.name);
    else if (url.href !== this.#address()) this.#push(url);
  }

  #push(url: URL): void {
    // The frame goes first: so the app's address, and not the next one, is the referrer.
    this.show(url.href);
    this.#pushing = true;
  }

  #leave(url: URL, form: FormData | null): void {
    this.#leaving = true;
    if (form === null) location.assign(url);
    else submit(url, form, '_top');
    // The tab is still here if that was a download, or was given up.
    setTimeout(() => (this.#leaving = false), 1_000);
  }

  /** A new document is in the frame, or has finished loading. */
  #arrived(): void {
    const address = this.#address();
    if (address === null) return;
    const pushing = this.#pushing;
    this.#pushing = false;
    if (address !== location.href) {
      if (pushing) history.pushState(null, '', address);
      else history.replaceState(null, '', address);
    }
    this.#wire();
  }

  #wire(): void {
    const view = this.#frame.contentWindow;
    const document = this.#frame.contentDocument;
    if (view === null || document === null || this.#wired.has(document)) return;
    this.#wired.add(document);
    const navigation = (view as Window & { navigation?: Navigation }).navigation;
    navigation?.addEventListener('navigate', (event) => this.#onFrameNavigate(event));
    navigation?.addEventListener('currententrychange', () => this.#copyAddress());
    if (navigation === undefined) view.addEventListener('popstate', () => this.#copyAddress());
    // The load event comes late on a slow page; by the next task the next document is there.
    view.addEventListener('pagehide', () => setTimeout(() => this.#arrived()));
    this.#onDocument(document);
  }

  #copyAddress(): void {
    const address = this.#address();
    if (address !== null && address !== location.href) history.replaceState(null, '', address);
  }

  /** Null while the frame is empty, or shows what is not of this origin (a browser's own error page). */
  #address(): string | null {
    try {
      const href = this.#frame.contentWindow?.location.href ?? 'about:blank';
      return new URL(href).origin === location.origin ? href : null;
    } catch {
      return null;
    }
  }
}

function isWeb(url: URL): boolean {
  return url.protocol === 'http:' || url.protocol === 'https:';
}

/** Sends a form again that was stopped on its way, to where it should have gone. */
function submit(url: URL, data: FormData, target: string): void {
  const form = document.createElement('form');
  form.hidden = true;
  form.method = 'post';
  form.action = url.href;
  form.target = target;
  for (const [name, value] of data) {
    const input = document.createElement('input');
    input.name = name;
    if (typeof value === 'string') {
      input.type = 'hidden';
      input.value = value;
    } else {
      const files = new DataTransfer();
      files.items.add(value);
      input.type = 'file';
      input.files = files.files;
      form.enctype = 'multipart/form-data';
    }
    form.append(input);
  }
  document.body.append(form);
  form.submit();
  form.remove();
}

/**
 * The tab's history and address, while the app lives in a frame. All entries are the *shell's*: a frame's own do not survive a reload
 * of the tab, which would then go back to nowhere. So the frame has one entry, which is replaced, and each entry of the shell remembers what the
 * browser would have: the document it belongs to, the app's state, and how far it was scrolled.
 *
 * Where the browser has no Navigation API, or the shim could not run, the frame's entries stay its own, and only going back across a reload is lost.
 * The same holds for what a POST leads to: no script can turn that into a replacement.
 */
import { wantedName } from './download.js';
import type { Hooks } from './hooks.js';

/** By then the tab is on its way to another site, or stays. */
const LEAVING_MS = 1_000;

/** `history.state` of the shell. */
interface Entry {
  /** The document of the frame that the entry was made by: a name, made anew with each document. */
  readonly document: string;
  /** `history.state` as the app sees it. */
  readonly state: unknown;
  readonly scroll: readonly [x: number, y: number];
}

export class AppHistory implements Hooks {
  readonly #frame: HTMLIFrameElement;
  /** Called with each new document of the frame. */
  readonly #onDocument: (document: Document) => void;
  readonly #known = new WeakSet<Document>();
  /** The document that is in the frame now. */
  #document = '';
  /** Whether the document under way is to become a new entry. It does so when it arrives: downloads and 204 never do. */
  #pushing = false;
  /** What happens in the frame now is our own doing. */
  #ours = false;
  /** The tab is on its way to another site. */
  #leaving = false;
  /** The document under way, or in the frame, is the tab's first. */
  #first = false;

  constructor(frame: HTMLIFrameElement, onDocument: (document: Document) => void) {
    this.#frame = frame;
    this.#onDocument = onDocument;
    frame.addEventListener('load', () => this.arrived());
    addEventListener('popstate', () => this.#follow());
    // Absent from older browsers, whatever the types say.
    (globalThis.navigation as Navigation | undefined)?.addEventListener('navigate', (event) => this.#onShellNavigate(event));
  }

  /** Shows the tab's first page. `foreign`: it is not known that the app itself led here. */
  begin(address: string, foreign: boolean): void {
    this.#first = true;
    this.show(address, foreign);
  }

  /**
   * Shows `address` in the frame, which replaces what it shows. Where the cause is, or may be, foreign, the worker is to see no referrer, as it would for a
   * link in another site's page: the device gives the two different cookies (`headers.ts`).
   */
  show(address: string, foreign = false): void {
    const show = (): void => this.#frame.contentWindow?.location.replace(address);
    this.#own(() => (foreign ? withoutReferrer(show) : show()));
  }

  /** A document is in the frame: called by the shim before anything else runs, and where there is no shim as soon as it shows. */
  arrived(): void {
    const view = this.#frame.contentWindow;
    const document = this.#frame.contentDocument;
    const address = this.#address();
    if (view === null || document === null || address === null) return;
    const pushing = this.#pushing;
    if (this.#known.has(document)) {
      this.#copy();
      return;
    }
    if (this.#document !== '') this.#first = false;
    this.#known.add(document);
    this.#pushing = false;
    this.#document = crypto.randomUUID();
    const back = pushing || address !== location.href ? null : entry();
    if (back !== null) this.#restore(view, back);
    this.#copy(pushing && address !== location.href);
    this.#wire(view);
    this.#onDocument(document);
  }

  push(change: () => void): void {
    this.#own(change);
    this.#copy(true);
  }

  referrer(): string | null {
    return this.#first ? document.referrer : null;
  }

  /** Gives a document that was gone and came back what the browser would have given it. */
  #restore(view: Window, { state, scroll }: Entry): void {
    this.#own(() => view.history.replaceState(state, ''));
    const [x, y] = scroll;
    if (x !== 0 || y !== 0) view.addEventListener('load', () => view.scrollTo(x, y), { once: true });
  }

  /** Back and forward of the tab. */
  #follow(): void {
    const view = this.#frame.contentWindow;
    const from = this.#address();
    if (view === null || from === null) return;
    this.#pushing = false;
    const to = entry();
    // After a reload of the tab the document has another name and is the same to its app.
    const same = to !== null && (to.document === this.#document || withoutFragment(from) === withoutFragment(location.href));
    if (!same) {
      // An entry that is not ours: a link was opened in this tab, by whomever has it.
      if (from !== location.href) this.show(location.href, to === null);
      return;
    }
    // The app is told, as by the browser.
    this.#own(() => view.history.replaceState(to.state, '', location.href));
    const { PopStateEvent, HashChangeEvent } = view as Window & typeof globalThis;
    view.dispatchEvent(new PopStateEvent('popstate', { state: view.history.state as unknown }));
    if (new URL(from).hash !== location.hash) view.dispatchEvent(new HashChangeEvent('hashchange', { oldURL: from, newURL: location.href }));
    view.scrollTo(...to.scroll);
  }

  #onFrameNavigate(event: NavigateEvent): void {
    if (this.#ours || event.navigationType === 'traverse' || event.navigationType === 'reload') return;
    const url = new URL(event.destination.url);
    if (event.destination.sameDocument) {
      if (event.navigationType !== 'push' || !event.hashChange || !event.cancelable) return;
      event.preventDefault();
      this.push(() => this.#frame.contentWindow?.location.replace(url));
      return;
    }
    this.#pushing = false;
    if (!isWeb(url) || !event.cancelable || event.downloadRequest !== null || wantedName(url) !== null) return;
    if (url.origin !== location.origin) {
      // Another site may refuse to be framed, and its address should be seen.
      event.preventDefault();
      this.#leave(url, event.formData);
    } else if (event.navigationType === 'push' && event.formData === null) {
      event.preventDefault();
      this.#go(url);
    }
  }

  /** `target=_top` and `top.location = …`: the app's page, so it belongs into the frame. Breaking out of frames ends here. */
  #onShellNavigate(event: NavigateEvent): void {
    if (this.#leaving || event.navigationType === 'traverse' || event.navigationType === 'reload' || event.destination.sameDocument) return;
    const url = new URL(event.destination.url);
    if (url.origin !== location.origin || !event.cancelable || event.downloadRequest !== null) return;
    event.preventDefault();
    const app = this.#frame.contentDocument;
    if (event.formData !== null && app !== null) submit(app, url, event.formData, '_self');
    else if (url.href !== this.#address()) this.#go(url);
  }

  #go(url: URL): void {
    this.show(url.href);
    this.#pushing = true;
  }

  #leave(url: URL, form: FormData | null): void {
    this.#leaving = true;
    const app = this.#frame.contentDocument;
    if (form !== null && app !== null) submit(app, url, form, '_top');
    else location.assign(url);
    // The tab is still here if that was a download, or was given up.
    setTimeout(() => (this.#leaving = false), LEAVING_MS);
  }

  #wire(view: Window): void {
    const navigation = (view as Window & { navigation?: Navigation }).navigation;
    navigation?.addEventListener('navigate', (event) => this.#onFrameNavigate(event));
    navigation?.addEventListener('currententrychange', () => this.#ours || this.#copy());
    if (navigation === undefined) view.addEventListener('popstate', () => this.#copy());
    view.addEventListener('scrollend', () => this.#copy());
    // The load event comes late on a slow page without a shim; by the next task the next document is there.
    view.addEventListener('pagehide', () => setTimeout(() => this.arrived()));
  }

  /** Makes the shell's entry, or a new one, say what the frame is at. */
  #copy(push = false): void {
    const view = this.#frame.contentWindow;
    const address = this.#address();
    if (view === null || address === null) return;
    const now: Entry = { document: this.#document, state: view.history.state as unknown, scroll: [view.scrollX, view.scrollY] };
    if (push) history.pushState(now, '', address);
    else history.replaceState(now, '', address);
  }

  #own(change: () => void): void {
    this.#ours = true;
    try {
      change();
    } finally {
      this.#ours = false;
    }
  }

  /** Null while the frame is empty, or shows what is not of this origin (a browser's own error page). */
  #address(): string | null {
    try {
      const href = this.#frame.contentWindow?.location.href ?? 'about:blank';
      return new URL(href).origin === location.origin && isWeb(new URL(href)) ? href : null;
    } catch {
      return null;
    }
  }
}

function entry(): Entry | null {
  const state = history.state as Partial<Entry> | null;
  return typeof state?.document === 'string' && Array.isArray(state.scroll) ? (state as Entry) : null;
}

/** The policy that counts is the one at the moment of the call. */
function withoutReferrer(navigate: () => void): void {
  const policy = document.createElement('meta');
  policy.name = 'referrer';
  policy.content = 'no-referrer';
  document.head.append(policy);
  navigate();
  policy.content = 'same-origin';
  policy.remove();
}

function withoutFragment(address: string): string {
  return address.replace(/#.*/, '');
}

function isWeb(url: URL): boolean {
  return url.protocol === 'http:' || url.protocol === 'https:';
}

/**
 * Sends a form again that was stopped on its way: from the app's page, whose policy it is to have, and its referrer too as long as it stays here.
 * Another site could bring it back by a redirect (307), and by its referrer it would then be the app's own (`route.ts`): it leaves without one.
 */
function submit(app: Document, url: URL, data: FormData, target: '_self' | '_top'): void {
  const nameless = url.origin === location.origin ? null : app.createElement('iframe');
  if (nameless !== null) {
    nameless.hidden = true;
    app.documentElement.append(nameless);
  }
  // Its address is `about:blank`, which no referrer tells; its policy is the app's.
  const document = nameless?.contentDocument ?? app;
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
  document.documentElement.append(form);
  // A field may be named `submit`.
  HTMLFormElement.prototype.submit.call(form);
  if (nameless === null) form.remove();
  else setTimeout(() => nameless.remove(), LEAVING_MS);
}

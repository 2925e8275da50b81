/**
 * `<object>` and `<embed>` ask the network past the service worker: the server would see the path, and has nothing there. So a policy forbids them to ask
 * (`headers.ts`), and what they show is shown by a frame instead: inside the object, as what it falls back on, and in the place of the embed.
 */
export function frameObjects(): void {
  // Live: whatever changes in the page, these are all there are.
  const objects = document.getElementsByTagName('object');
  const embeds = document.getElementsByTagName('embed');
  const mend = (): void => {
    for (const object of [...objects]) if (isWeb(object.getAttribute('data'))) frameIn(object);
    for (const embed of [...embeds]) if (isWeb(embed.getAttribute('src'))) embed.replaceWith(frameFor(embed, embed.getAttribute('src')));
  };
  new MutationObserver(mend).observe(document, { childList: true, subtree: true, attributes: true, attributeFilter: ['data', 'src'] });
}

function frameIn(object: HTMLObjectElement): void {
  const frame = frameFor(object, object.getAttribute('data'));
  frame.removeAttribute('id');
  object.removeAttribute('data');
  object.removeAttribute('type');
  for (const old of object.querySelectorAll(':scope > iframe[data-peerage]')) old.remove();
  frame.dataset['peerage'] = '';
  frame.addEventListener('load', () => object.dispatchEvent(new Event('load')));
  object.prepend(frame);
  for (const name of ['contentDocument', 'contentWindow'] as const) Object.defineProperty(object, name, { configurable: true, get: () => frame[name] });
}

function frameFor(element: Element, address: string | null): HTMLIFrameElement {
  const frame = document.createElement('iframe');
  for (const name of ['id', 'class', 'style', 'width', 'height', 'title', 'name']) {
    const value = element.getAttribute(name);
    if (value !== null) frame.setAttribute(name, value);
  }
  frame.style.border ||= '0';
  frame.src = address ?? '';
  return frame;
}

function isWeb(address: string | null): boolean {
  return address !== null && URL.canParse(address, document.baseURI) && /^https?:$/.test(new URL(address, document.baseURI).protocol);
}

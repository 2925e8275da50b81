/** Whether a request to `address`, as a page or worker names it, is one to its own origin: those are the device's. */
export function isOwn(address: unknown): boolean {
  const base = typeof document === 'undefined' ? location.href : document.baseURI;
  return URL.canParse(String(address), base) && new URL(String(address), base).origin === origin;
}

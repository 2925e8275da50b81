/** A page that the app opened in a tab of its own is a shell to whoever opened it: what is said to the shell is meant for the app in it. */
export function passMessagesOn(frame: HTMLIFrameElement): void {
  addEventListener('message', (event) => {
    const app = frame.contentWindow as (Window & { MessageEvent: typeof MessageEvent }) | null;
    if (app === null || event.source === null || event.source === app || event.source === window) return;
    try {
      const { data, origin, source, ports } = event;
      app.dispatchEvent(new app.MessageEvent('message', { data, origin, source, ports: [...ports] }));
    } catch {
      // The frame shows what is not of this origin.
    }
  });
}

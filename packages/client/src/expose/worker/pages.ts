/** The few pages that the worker writes itself. They need no script and no other file. */
import type { Code } from '../../error.js';
import { explain, statusOf } from '../states.js';
import { OWN_PATH } from '../route.js';

/** Why there is no answer, in the place of the answer. */
export function failurePage(code: Code): Response {
  const { title, why, remedies } = explain(code);
  const body = `<p>${text(why)}</p><ul>${remedies.map((remedy) => `<li>${text(remedy)}</li>`).join('')}</ul><p><a class="button" href="">Try again</a></p>`;
  return page(statusOf(code), title, body, { 'peerage-error': code });
}

/** Asks the person about a request whose cause cannot be told. `permit` is the address that lets it go. */
export function questionPage(request: Request, permit: string): Response {
  const body =
    `<p>A page wants to send data to this device (<code>${text(request.method)} ${text(new URL(request.url).pathname)}</code>), and it cannot be told whether ` +
    'that page is part of the app or of another site. If you have just sent a form of the app, go on.</p>' +
    `<p><a class="button" href="${text(permit)}">Send it</a> <a class="quiet" href="/">Do not send it</a></p>`;
  return page(200, 'Send this to the device?', body);
}

/** For a request that another site's page caused. */
export function strangerPage(request: Request): Response {
  if (request.mode !== 'navigate') return new Response('peerage: not sent, because another site caused this request\n', { status: 403 });
  return page(
    403,
    'Another site wanted to send data to this device',
    '<p>It was not sent. If you meant to do it, do it in the app itself.</p><p><a class="button" href="/">Open the app</a></p>',
    { 'peerage-error': 'refused' },
  );
}

/**
 * Goes on to another site. The app's own frame leaves together with the whole tab, as that site may refuse to be framed; a frame inside the
 * app goes there itself.
 */
export function leavePage(target: string): Response {
  const url = JSON.stringify(target).replace(/</g, '\\u003c');
  return page(200, 'Leaving the app', `<p><a href="${text(target)}">${text(new URL(target).host)}</a></p>`, {}, `(parent===top?top:self).location.replace(${url})`);
}

/** In front of everything an HTML page runs. */
export function shimTag(nonce: string | null): string {
  return `<script src="${OWN_PATH}shim.js"${nonce === null ? '' : ` nonce="${text(nonce)}"`}></script>`;
}

const STYLE = `
:root{color-scheme:light dark}
body{margin:0;min-height:100vh;display:grid;place-items:center;font:16px/1.5 system-ui,sans-serif;background:Canvas;color:CanvasText}
main{max-width:34rem;padding:2rem}h1{font-size:1.4rem;line-height:1.25;margin:0 0 .75rem}ul{padding-left:1.2rem}code{overflow-wrap:anywhere}
a{color:inherit}.button{display:inline-block;padding:.55rem 1.1rem;border-radius:.6rem;background:#2f5fd0;color:#fff;text-decoration:none;font-weight:600}
.quiet{margin-left:1rem}a:focus-visible{outline:3px solid #7aa2ff;outline-offset:2px}`;

function page(status: number, title: string, body: string, headers: Record<string, string> = {}, script = ''): Response {
  const nonce = script === '' ? '' : crypto.randomUUID();
  const html =
    `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${text(title)}</title><style>${STYLE}</style>` +
    `</head><body><main><h1>${text(title)}</h1>${body}</main>${script === '' ? '' : `<script nonce="${nonce}">${script}</script>`}</body></html>`;
  return new Response(html, {
    status,
    headers: {
      'content-type': 'text/html; charset=utf-8',
      'cache-control': 'no-store',
      'content-security-policy': `default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'${nonce === '' ? '' : `; script-src 'nonce-${nonce}'`}`,
      ...headers,
    },
  });
}

function text(value: string): string {
  return value.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** The few pages that the worker writes itself. They need no script and no other file. */
import type { Code } from '../../error.js';
import { explain, statusOf } from '../states.js';
import { OWN_PATH } from '../route.js';

/** How often a page that could not be had is asked for again, in seconds. */
const AGAIN = 5;

/** Why there is no answer, in the place of the answer. Where it may come by itself, it is asked for again by itself. */
export function failurePage(code: Code, method: string): Response {
  const { title, why, remedies, again } = explain(code);
  const body = `<p>${text(why)}</p><ul>${remedies.map((remedy) => `<li>${text(remedy)}</li>`).join('')}</ul><p class="act"><a class="button" href="">Try again</a></p>`;
  return page(statusOf(code), title, body, { 'peerage-error': code, ...(again && method === 'GET' && { refresh: String(AGAIN) }) });
}

/** Asks the person about a request whose cause cannot be told. `permit` is the address that lets it go. */
export function questionPage(request: Request, permit: string): Response {
  const body =
    `<p>A page wants to send data to this device (<code>${text(request.method)} ${text(new URL(request.url).pathname)}</code>), and it cannot be told whether ` +
    'that page is part of the app or of another site. If you have just sent a form of the app, go on.</p>' +
    `<div class="act"><form action="/"><button class="button">Do not send it</button></form><form action="${text(permit)}"><button>Send it</button></form></div>`;
  return page(200, 'Send this to the device?', body);
}

/** For a request that another site's page caused. */
export function strangerPage(request: Request): Response {
  if (request.mode !== 'navigate') return new Response('peerage: not sent, because another site caused this request\n', { status: 403 });
  return page(
    403,
    'Another site wanted to send data to this device',
    '<p>It was not sent. If you meant to do it, do it in the app itself.</p><p class="act"><a class="button" href="/">Open the app</a></p>',
    { 'peerage-error': 'refused' },
  );
}

/**
 * Asks for a name and a password, in the place of the page that wants them: no script of the app runs in this frame meanwhile, as one would beside a dialog of
 * the shell, which it could read. `address` is where to tell it; `again` whether the page can be asked for by loading it once more.
 */
export function loginPage(realm: string, address: string, refused: boolean, again: boolean): Response {
  const body =
    `<p>The app on the device wants a name and a password${realm === '' ? '' : ` for <b>${text(realm)}</b>`}. They go to the device alone, and are forgotten when the tab that has the connection is closed or loaded anew.</p>` +
    `<p id="hint" role="alert">${refused ? 'The app did not accept these.' : ''}</p>` +
    '<form><label>Name<input name="name" autocomplete="username" autofocus></label><label>Password<input name="password" type="password" autocomplete="current-password"></label>' +
    '<div class="act"><button class="button">Log in</button><button type="button" id="cancel">Cancel</button></div></form>';
  const go = again ? 'location.reload()' : "location.replace(location.href.replace(/#.*/,''))";
  // A frame inside the app's page, or one that the app left in the shell, stands beside the app's scripts: there nobody is asked.
  const script =
    `const tell=(to,body)=>fetch(${JSON.stringify(address)}+to,{method:'POST',body}).then(r=>{if(!r.ok)throw 0;${go}}).catch(()=>{hint.textContent='It could not be sent. Try again.'});` +
    "const form=document.forms[0],hint=document.getElementById('hint');" +
    "form.onsubmit=e=>{e.preventDefault();tell('',JSON.stringify({name:form.elements.name.value,password:form.elements.password.value}))};" +
    "document.getElementById('cancel').onclick=()=>tell('/cancel','');if(parent!==top||top.length!==1)tell('/cancel','')";
  return page(401, 'Log in', body, {}, script);
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
:root{color-scheme:light dark;--ground:#f4f5f8;--card:#fff;--ink:#1c2130;--soft:#5a6275;--line:#dfe2ea;--accent:#2f5fd0;--on:#fff}
@media (prefers-color-scheme:dark){:root{--ground:#12151c;--card:#1b1f29;--ink:#e9ecf3;--soft:#a3acbf;--line:#313746;--accent:#86a9ff;--on:#10141d}}
*{box-sizing:border-box}body{margin:0;min-height:100vh;display:grid;place-items:center;font:1rem/1.55 system-ui,sans-serif;background:var(--ground);color:var(--ink)}
main{width:min(30rem,calc(100vw - 2rem));padding:2.25rem;border:1px solid var(--line);border-radius:1.1rem;background:var(--card)}
h1{font-size:1.45rem;line-height:1.25;margin:0 0 .4rem;text-wrap:balance}p{margin:.4rem 0;color:var(--soft)}code{overflow-wrap:anywhere}
ul{margin:1.2rem 0 0;padding:0;list-style:none}li{padding:.3rem 0 .3rem 1.35rem;position:relative}li:before{content:"→" / "";position:absolute;left:0;color:var(--soft)}
.act{display:flex;gap:1.2rem;align-items:center;margin-top:1.5rem}a{color:inherit}button{padding:.55rem .4rem;border:0;background:none;color:inherit;font:inherit;text-decoration:underline;cursor:pointer}:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
.button,button.button{padding:.55rem 1.15rem;border-radius:.65rem;background:var(--accent);color:var(--on);text-decoration:none;font-weight:600}
label{display:block;margin-top:1rem}input{display:block;width:100%;padding:.55rem .7rem;border:1px solid var(--line);border-radius:.65rem;background:var(--ground);color:inherit;font:inherit}#hint{color:inherit;font-weight:600}`;

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
      'content-security-policy': `default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'${nonce === '' ? '' : `; connect-src 'self'; form-action 'none'; script-src 'nonce-${nonce}'`}`,
      ...headers,
    },
  });
}

function text(value: string): string {
  return value.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

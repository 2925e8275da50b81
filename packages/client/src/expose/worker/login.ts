/**
 * Basic authentication (RFC 7617): browsers ask for a password only where an answer comes from the network. Here a page asks, in the frame and in the place of the
 * answer; what it is told goes to the tab that has the link and stays in its memory (`credentials.ts`).
 */
import type { Field, Puller } from '../../fetch/exchange.js';
import { basicRealm } from '../credentials.js';
import { originForm } from '../../fetch/request-fields.js';
import { LOGIN_FIELD, type ToShell, VERSION } from '../messages.js';
import { OWN_PATH } from '../route.js';
import type { Holders } from './holders.js';
import { keep, permit, type Kept } from './kept.js';
import { loginPage } from './pages.js';

interface Answer {
  readonly status: number;
  readonly fields: readonly Field[];
  readonly body: Puller;
}

/** The page that asks, if that is what the answer to `request` wants; `request` goes again once the person has said something. */
export function askToLogIn(answer: Answer, request: Kept): Promise<Response> | null {
  const realm = answer.status === 401 ? basicRealm(answer.fields) : null;
  if (realm === null) return null;
  answer.body.cancel();
  const refused = answer.fields.some(([name, value]) => name === LOGIN_FIELD && value === 'refused');
  return keep({ ...request, realm }).then((id) => loginPage(realm, `${OWN_PATH}login/${id}`, refused, request.method === 'GET'));
}

/** What that page says. `said` is the name of the kept request, or that and `/cancel`. */
export async function logIn(request: Request, said: string, holders: Holders): Promise<Response> {
  const [id = '', cancel] = said.split('/');
  const kept = await permit(id, cancel === 'cancel');
  // What was kept for too long is gone: the page's own address asks anew.
  if (kept?.realm === undefined || cancel !== undefined) return new Response(null, { status: 204 });
  const { name, password } = (await request.json()) as { name: string; password: string };
  const holder = await holders.find();
  holder.client.postMessage({ type: 'log-in', version: VERSION, realm: kept.realm, path: originForm(new URL(kept.url)), name: String(name), password: String(password) } satisfies ToShell);
  return new Response(null, { status: 204 });
}

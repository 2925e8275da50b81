/** `<script src="peerage.global.js">`: defines `Peerage`, beside what other scripts of this package have put there. */
import * as all from './index.js';

const page = globalThis as { Peerage?: object };
page.Peerage = Object.assign(page.Peerage ?? {}, all);

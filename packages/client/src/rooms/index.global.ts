/** `<script src="…/rooms.js">`: defines `Peerage.joinRoom`, beside what other scripts of this package have put there. */
import { joinRoom, RoomError } from './index.js';

const page = globalThis as { Peerage?: object };
page.Peerage = Object.assign(page.Peerage ?? {}, { joinRoom, RoomError });

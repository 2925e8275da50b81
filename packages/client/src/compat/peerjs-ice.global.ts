/** `<script src="…/ice.js">` beside PeerJS: defines `Peerage.useIceServers`. */
import { useIceServers } from './peerjs-ice.js';

const page = globalThis as { Peerage?: { useIceServers?: typeof useIceServers } };
// The whole package may be there by script tag as well, and has it.
page.Peerage ??= {};
if (page.Peerage.useIceServers === undefined) page.Peerage.useIceServers = useIceServers;

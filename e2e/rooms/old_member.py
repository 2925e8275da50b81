"""Members of rooms on aiortc that speak PeerPyRTC's JSON: old_member.py [--reliable] SERVER ROOM ID...

All ids are members of one process. Each thing that happens to one is a line of JSON, `{"id": …, "k": "open" | "closed" | "received" | "joined" | "left" | "update" |
"host" | "elected" | "message", …}`; each line of standard input tells one what to do: `{"id": …, "do": "say" | "emit" | "broadcast" | "raw" | "bytes" | "leave" |
"stall", …}`. One that stalls takes no more of what is sent to it, and is otherwise well. Old members have channels that may lose messages; `--reliable` are others.
"""

import asyncio
import json
import sys
import time
import urllib.request

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

AGENT = "aiortc"


def now():
    return int(time.time() * 1000)


def text(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


class Member:
    def __init__(self, server, room, name, reliable):
        self.server, self.room, self.name = server, room, name
        self.peers, self.host = {}, None
        self.pc = RTCPeerConnection(RTCConfiguration([]))
        self.channel = self.pc.createDataChannel("chat", ordered=True, maxRetransmits=None if reliable else 3)
        self.channel.on("open", self.opened)
        self.channel.on("message", self.received)
        self.channel.on("close", lambda: self.tell("closed"))

    def tell(self, kind, **more):
        print(text({"id": self.name, "k": kind, **more}), flush=True)

    async def post(self, path, **more):
        body = text({"room": self.room, "peer_id": self.name, **more}).encode()
        request = urllib.request.Request(self.server + path, body, {"content-type": "application/json"})
        with await asyncio.to_thread(urllib.request.urlopen, request, timeout=30) as response:
            return json.loads(response.read())

    async def join(self):
        """The offer goes without candidates, as a browser's that does not wait for them; each follows by itself."""
        await self.pc.setLocalDescription(await self.pc.createOffer())
        lines = self.pc.localDescription.sdp.splitlines(keepends=True)
        bare = "".join(line for line in lines if not line.startswith(("a=candidate:", "a=end-of-candidates")))
        asked = asyncio.create_task(self.post("/offer", offer={"sdp": bare, "type": "offer"}))
        for line in lines:
            if line.startswith("a=candidate:"):
                await self.post("/candidate", candidate=candidate(line[2:].strip()))
        answer = (await asked)["answer"]
        await self.pc.setRemoteDescription(RTCSessionDescription(answer["sdp"], answer["type"]))

    # What it says.

    def system(self, action, payload, target=None):
        self.channel.send(text({"type": "SYSTEM", "action": action, "payload": payload, "peer_id": self.name, "target": target, "timestamp": now()}))

    async def do(self, order):
        match order["do"]:
            case "say":
                self.channel.send(text({"peer_id": self.name, "message": order["value"]}))
            case "emit" | "broadcast" as how:
                self.system("EVENT" if how == "emit" else "BROADCAST", {"event": order["event"], "data": order["data"]})
            case "raw":
                self.channel.send(order["text"])
            case "bytes":
                self.channel.send(bytes(order["bytes"]))
            case "stall":
                self.stall()
            case "leave":
                self.system("PEER_LEAVE", {})
                await self.post("/leave")
                await self.pc.close()

    def stall(self):
        """Says that it has no room for data, and forgets what comes in spite of that."""
        sctp = self.pc.sctp
        sctp._advertised_rwnd = 0

        async def forget(chunk):
            sctp._sack_needed = True

        sctp._receive_data_chunk = forget

    # What it hears.

    def opened(self):
        self.peers = {self.name: {"id": self.name, "joinTime": now(), "lastSeen": now(), "userAgent": AGENT}}
        self.host = self.name
        self.system("PEER_JOIN", {"userAgent": AGENT, "timestamp": now()})
        self.tell("open")

    def received(self, message):
        if isinstance(message, bytes):
            return self.tell("received", bytes=list(message))
        self.tell("received", text=message)
        try:
            value = json.loads(message)
        except ValueError:
            return self.tell("message", sender="unknown", value=message, event=None)
        if isinstance(value, dict) and value.get("type") == "SYSTEM":
            return self.told(value.get("action"), value.get("payload"), value.get("peer_id"))
        if isinstance(value, dict) and value.get("peer_id") and "message" in value:
            return self.tell("message", sender=value["peer_id"], value=value["message"], event=None)
        if isinstance(value, dict) and value.get("event"):
            return self.tell("message", sender="server", value=value, event=value["event"])
        self.tell("message", sender="unknown", value=value, event=None)

    def told(self, action, payload, peer):
        match action:
            case "PEER_JOIN" if peer != self.name:
                self.peers[peer] = {"id": peer, "joinTime": now(), "lastSeen": now(), **payload}
                self.tell("joined", peer=peer)
                self.updated()
                self.system("ROOM_STATE", {"peers": list(self.peers.values()), "hostId": self.host}, peer)
            case "ROOM_STATE":
                for one in payload["peers"]:
                    if one["id"] != self.name:
                        self.peers[one["id"]] = {**self.peers.get(one["id"], {}), **one}
                self.updated()
            case "PEER_LEAVE":
                if self.peers.pop(peer, None):
                    self.tell("left", peer=peer)
                    self.updated()
                if peer == self.host:
                    self.host = min(self.peers.values(), key=lambda one: one["joinTime"])["id"]
                    self.tell("elected", peer=self.host)
                    self.system("HOST_CHANGE", self.host)
            case "HOST_CHANGE":
                self.host = payload
                self.tell("host", peer=payload)
            case "EVENT" | "BROADCAST":
                self.tell("message", sender=peer, value=payload["data"], event=payload["event"])

    def updated(self):
        self.tell("update", peers=list(self.peers))


def candidate(line):
    """As a browser shows one by `toJSON` and its members."""
    words = line.split()
    return {
        "candidate": line,
        "sdpMid": "0",
        "sdpMLineIndex": 0,
        "foundation": words[0].split(":")[1],
        "component": "rtp",
        "priority": int(words[3]),
        "protocol": words[2].lower(),
        "type": words[7],
        "address": words[4],
        "port": int(words[5]),
    }


async def main():
    arguments = sys.argv[1:]
    if reliable := arguments[0] == "--reliable":
        arguments.pop(0)
    server, room, *names = arguments
    members = {name: Member(server, room, name, reliable) for name in names}
    for member in members.values():
        await member.join()
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async for line in lines:
        order = json.loads(line)
        await members[order["id"]].do(order)


asyncio.run(main())

"""A PeerJS peer on aiortc, for `../lib/foreign.mjs`: aiortc_peer.py PORT ID [--call PEER] [--reliable] [--sizes N,N...] [--then wait|close|reset|ask]

It takes one connection of serialization raw, or with --call makes one; sends two empty messages, which the other side cannot send back, a text, and bytes
of these sizes; and compares what comes back.
Then it waits for the end, closes everything, resets the channel alone, or asks for the end by the text `close`. Prints a line for each thing that happens.
"""

import argparse
import asyncio
import json
import uuid

import websockets
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.sdp import candidate_from_sdp

TEXT = "tëxt ✓"


def tell(*what):
    print(" ".join(map(str, what)), flush=True)


def octets(size):
    return bytes((n * 31 + size) % 251 for n in range(size))


class Peer:
    def __init__(self, socket, options):
        self.socket = socket
        self.options = options
        self.pc = None
        self.early = []
        self.applied = False
        self.done = asyncio.Event()

    async def send(self, kind, dst, **payload):
        payload |= {"type": "data", "connectionId": self.connection}
        await self.socket.send(json.dumps({"type": kind, "payload": payload, "dst": dst}))

    def open(self):
        self.pc = RTCPeerConnection()
        self.pc.on("connectionstatechange", lambda: tell("state", self.pc.connectionState))

    async def call(self, other):
        self.connection = f"dc_{uuid.uuid4().hex}"
        self.open()
        self.use(self.pc.createDataChannel("called by aiortc", ordered=self.options.reliable))
        await self.pc.setLocalDescription(await self.pc.createOffer())
        await self.send("OFFER", other, **self.description(), label="called by aiortc", metadata={"by": "aiortc"}, reliable=self.options.reliable, serialization="raw")

    def description(self):
        local = self.pc.localDescription
        return {"sdp": {"type": local.type, "sdp": local.sdp}}

    async def handle(self, message):
        kind, payload, src = message["type"], message.get("payload", {}), message.get("src")
        if kind == "OFFER":
            self.connection = payload["connectionId"]
            tell("offer", json.dumps({name: payload.get(name) for name in ("label", "metadata", "reliable", "serialization")}))
            self.open()
            self.pc.on("datachannel", self.use)
            await self.apply(payload["sdp"])
            await self.pc.setLocalDescription(await self.pc.createAnswer())
            await self.send("ANSWER", src, **self.description())
        elif kind == "ANSWER":
            await self.apply(payload["sdp"])
        elif kind == "CANDIDATE":
            self.early.append(payload["candidate"])
            await self.candidates()
        elif kind != "OPEN":
            tell("frame", json.dumps(message))

    async def apply(self, sdp):
        await self.pc.setRemoteDescription(RTCSessionDescription(sdp=sdp["sdp"], type=sdp["type"]))
        self.applied = True
        await self.candidates()

    async def candidates(self):
        """aiortc has no queue for those that come before the description, and takes a candidate without its first word."""
        while self.applied and self.early:
            init = self.early.pop(0)
            candidate = candidate_from_sdp(init["candidate"].split(":", 1)[1])
            candidate.sdpMid, candidate.sdpMLineIndex = init.get("sdpMid"), init.get("sdpMLineIndex")
            await self.pc.addIceCandidate(candidate)

    def use(self, channel):
        self.channel = channel
        self.received = asyncio.Queue()
        channel.on("message", self.received.put_nowait)
        channel.on("close", self.closed)
        if channel.readyState == "open":
            self.opened()
        else:
            channel.on("open", self.opened)

    def opened(self):
        tell("open", json.dumps({"label": self.channel.label, "ordered": self.channel.ordered}))
        self.task = asyncio.create_task(self.talk())

    def closed(self):
        tell("closed")
        self.done.set()

    async def talk(self):
        if not self.options.call:
            tell("greeted", await self.received.get())
        sent = [TEXT] + [octets(size) for size in self.options.sizes]
        for one in ["", b""] + sent:
            self.channel.send(one)
        back = [await self.received.get() for _ in sent]
        # Without order they may come in any.
        same = sorted(map(repr, back)) == sorted(map(repr, sent)) and (not self.channel.ordered or back == sent)
        tell("same" if same else "different", len(back))
        if self.options.then == "close":
            await self.pc.close()
            self.done.set()
        elif self.options.then == "reset":
            self.channel.close()
        elif self.options.then == "ask":
            self.channel.send("close")


async def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("port")
    arguments.add_argument("id")
    arguments.add_argument("--call")
    arguments.add_argument("--reliable", action="store_true")
    arguments.add_argument("--sizes", type=lambda list: [int(size) for size in list.split(",")], default=[1, 1_200, 16_384, 65_535])
    arguments.add_argument("--then", default="wait")
    options = arguments.parse_args()
    async with websockets.connect(f"ws://127.0.0.1:{options.port}/peerjs?key=peerjs&id={options.id}&token=t", ping_interval=None) as socket:
        peer = Peer(socket, options)
        await socket.recv()
        tell("ready", options.id)
        if options.call:
            await peer.call(options.call)

        async def listen():
            async for message in socket:
                await peer.handle(json.loads(message))

        listening = asyncio.create_task(listen())
        ended = asyncio.create_task(peer.done.wait())
        done, _ = await asyncio.wait([listening, ended], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        listening.cancel()
        await peer.pc.close()


asyncio.run(main())

"""An end of the peer bench in Python: `end.py callee FOLDER | caller FOLDER SOCKET`.

Takes orders as JSON on stdin, one a line, and answers each with a line, as `src/order.rs` says.
"""

import asyncio
import json
import os
import sys
import threading
import time

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

PATIENCE = 30
ECHO = b"p"
# Octets that wait in aiortc before the sender does, and how far they drain first: with more it is far slower, it searches them all.
FULL, LOW = 64 * 1024, 32 * 1024


def answer(value):
    print(json.dumps(value), flush=True)


async def orders():
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        yield json.loads(line)


def watch(window, read=lambda: {}):
    """What `read` counts up by within the window, beside processor time; a thread, so that a busy loop is not late."""
    loop = asyncio.get_running_loop()
    figures = loop.create_future()

    def at(then):
        time.sleep(max(0, then - time.time()))
        return {**read(), "cpu": time.process_time()}

    def run():
        before, after = at(window["from"]), at(window["until"])
        loop.call_soon_threadsafe(figures.set_result, {name: after[name] - before[name] for name in after})

    threading.Thread(target=run, daemon=True).start()
    return figures


def connection():
    return RTCPeerConnection(RTCConfiguration(iceServers=[]))


def described(number, peer):
    local = peer.localDescription
    return json.dumps({"conn": number, "sdp": local.sdp, "type": local.type}).encode() + b"\n"


async def callee(folder):
    seen = {"messages": 0, "octets": 0}
    kept = set()

    def offered(channel):
        @channel.on("message")
        def arrived(message):
            if message[:1] == ECHO:
                channel.send(message)
            else:
                seen["messages"] += 1
                seen["octets"] += len(message)

    async def meet(reader, writer):
        while line := await reader.readline():
            word = json.loads(line)
            peer = connection()
            kept.add(peer)
            peer.on("datachannel", offered)

            @peer.on("connectionstatechange")
            async def changed(peer=peer):
                if peer.connectionState in ("closed", "failed"):
                    kept.discard(peer)
                    await peer.close()

            await peer.setRemoteDescription(RTCSessionDescription(word["sdp"], word["type"]))
            await peer.setLocalDescription(await peer.createAnswer())
            writer.write(described(word["conn"], peer))

    socket = os.path.join(folder, "meeting")
    await asyncio.start_unix_server(meet, socket, limit=1 << 20)
    answer({"address": socket})
    async for order in orders():
        if order["do"] == "watch":
            answer(await watch(order["window"], lambda: dict(seen)))
        else:
            answer({"cpu": time.process_time()})


async def caller(socket):
    reader, writer = await asyncio.open_unix_connection(socket, limit=1 << 20)
    open_now = []

    async def open_one():
        peer = connection()
        channel = peer.createDataChannel("bench")
        opened = asyncio.Event()
        channel.on("open", opened.set)
        await peer.setLocalDescription(await peer.createOffer())
        writer.write(described(len(open_now), peer))
        word = json.loads(await asyncio.wait_for(reader.readline(), PATIENCE))
        await peer.setRemoteDescription(RTCSessionDescription(word["sdp"], word["type"]))
        await asyncio.wait_for(opened.wait(), PATIENCE)
        return peer, channel

    async for order in orders():
        if order["do"] in ("open", "set-up"):
            took, failed = [], 0
            for _ in range(order["count"]):
                begun = time.perf_counter()
                try:
                    one = await open_one()
                except TimeoutError:
                    failed += 1
                    continue
                took.append((time.perf_counter() - begun) * 1e3)
                if order["do"] == "open":
                    open_now.append(one)
                else:
                    await one[0].close()
            answer({"ms": took, "failed": failed})
        elif order["do"] == "send":
            figures = watch(order["window"])
            await send(open_now[-1][1], order["size"], order["window"])
            answer(await figures)
        elif order["do"] == "ping":
            figures = watch(order["window"])
            times = sorted(await ping(open_now[-1][1], order["size"], order["window"]))
            at = lambda share: times[int(len(times) * share)] * 1e6 if times else None
            answer({**await figures, "count": len(times), "median": at(0.5), "p99": at(0.99)})
        elif order["do"] == "close":
            for peer, _ in open_now:
                await peer.close()
            open_now.clear()
            answer({})
        else:
            answer({"cpu": time.process_time()})


async def send(channel, size, window):
    room = asyncio.Event()
    channel.bufferedAmountLowThreshold = LOW
    channel.on("bufferedamountlow", room.set)
    message = b"x" * size
    while time.time() < window["until"]:
        channel.send(message)
        if channel.bufferedAmount > FULL:
            room.clear()
            await room.wait()


async def ping(channel, size, window):
    came = asyncio.Event()
    channel.on("message", lambda _: came.set())
    message = ECHO * size
    times = []
    while time.time() < window["until"]:
        came.clear()
        begun = time.perf_counter()
        channel.send(message)
        await came.wait()
        if time.time() >= window["from"]:
            times.append(time.perf_counter() - begun)
    return times


match sys.argv[1:]:
    case ["callee", meeting]:
        asyncio.run(callee(meeting))
    case ["caller", _, address]:
        asyncio.run(caller(address))
    case _:
        sys.exit("usage: end.py callee FOLDER | caller FOLDER SOCKET")

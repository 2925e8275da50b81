"""The old way: peerjs-python's `http_proxy`, as far as it is on the data path.

Reads an offer as one JSON line from stdin, answers on stdout, then serves the target until stdin ends. What the original does for each request is
done here the same way: the keep-alive at once and every second, aiohttp to the target on one session, one header, one binary body, one task a request.
Signalling is left out, and so is the crash of its error path.
"""

import asyncio
import json
import sys

import aiohttp
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription


async def keep_alive(channel):
    while True:
        channel.send(json.dumps({"status": 202}))
        await asyncio.sleep(1)


async def answer(channel, session, message):
    request = json.loads(message)
    if request["url"].startswith("ping"):
        channel.send(json.dumps({"status": 200}))
        channel.send("pong")
        return
    working = asyncio.create_task(keep_alive(channel))
    try:
        async with session.request(request["method"], request["url"]) as response:
            content = await response.read()
            header = {
                "status": response.status,
                "content-type": response.headers.get("content-type", "None"),
                "content-length": len(content),
            }
    finally:
        working.cancel()
    channel.send(json.dumps(header))
    channel.send(content)


async def lines():
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield json.loads(line)


async def main():
    # No STUN server: both ends are on this machine.
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    tasks = set()
    async with aiohttp.ClientSession() as session:

        @connection.on("datachannel")
        def opened(channel):
            @channel.on("message")
            def received(message):
                task = asyncio.create_task(answer(channel, session, message))
                tasks.add(task)
                task.add_done_callback(tasks.discard)

        async for offer in lines():
            await connection.setRemoteDescription(RTCSessionDescription(**offer))
            await connection.setLocalDescription(await connection.createAnswer())
            local = connection.localDescription
            print(json.dumps({"sdp": local.sdp, "type": local.type}), flush=True)
        await connection.close()


asyncio.run(main())

"""Measures the old way, an aiortc client in front of `proxy.py`: `rival.py TARGET`.

TARGET is what `bench-link target` printed. One round for every line on stdin, one JSON object a round on stdout:

- `firstByteMs`: median time from a request for 1 kB to its body. The body is one message, so its first octet comes with its last.
- `requests`: requests for 1 kB a second, one after the other: the framing has no other way on a connection. No pauses, whereas the old client itself
  adds 50 ms and looks for answers every 200 ms.
- `rate`: MB/s of bodies of 250 kB, one after the other: the framing's limit is 262,144 octets a body.
- `cpuMsPerMb`: CPU time of the proxy, and of this client, for that.
"""

import asyncio
import json
import os
import resource
import sys
import time

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

WARM_UP, SEQUENTIAL, BODIES, BODY = 20, 300, 80, 250_000
PATIENCE = 60


class Client:
    """One request at a time: header, then body."""

    def __init__(self, channel):
        self.channel = channel
        self.header = None
        self.waiting = None
        channel.on("message", self.received)

    def received(self, message):
        if self.header is not None:
            self.header = None
            self.waiting.set_result(message)
            return
        header = json.loads(message)
        if header["status"] != 202:
            self.header = header

    async def ask(self, url):
        self.waiting = asyncio.get_running_loop().create_future()
        self.channel.send(json.dumps({"url": url, "method": "GET"}))
        return await asyncio.wait_for(self.waiting, PATIENCE)


def cpu_of(pid):
    """Seconds of CPU that a process has used."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def own_cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def measure(client, target, proxy):
    for _ in range(WARM_UP):
        await client.ask(f"{target}/bytes?n=1000")
    times = []
    begun = time.perf_counter()
    for _ in range(SEQUENTIAL):
        asked = time.perf_counter()
        await client.ask(f"{target}/bytes?n=1000")
        times.append(time.perf_counter() - asked)
    requests = SEQUENTIAL / (time.perf_counter() - begun)
    times.sort()

    before = cpu_of(proxy), own_cpu()
    begun = time.perf_counter()
    for _ in range(BODIES):
        body = await client.ask(f"{target}/bytes?n={BODY}")
        assert len(body) == BODY, f"{len(body)} octets instead of {BODY}"
    seconds = time.perf_counter() - begun
    megabytes = BODIES * BODY / 1e6
    spent = [(now - then) * 1e3 / megabytes for now, then in zip((cpu_of(proxy), own_cpu()), before)]
    return {
        "firstByteMs": times[len(times) // 2] * 1e3,
        "requests": requests,
        "rate": megabytes / seconds,
        "cpuMsPerMb": {"proxy": spent[0], "client": spent[1]},
    }


async def connect(proxy):
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    channel = connection.createDataChannel("http-proxy")
    opened = asyncio.Event()
    channel.on("open", opened.set)
    await connection.setLocalDescription(await connection.createOffer())
    local = connection.localDescription
    proxy.stdin.write(json.dumps({"sdp": local.sdp, "type": local.type}).encode() + b"\n")
    line = await asyncio.wait_for(proxy.stdout.readline(), PATIENCE)
    await connection.setRemoteDescription(RTCSessionDescription(**json.loads(line)))
    await asyncio.wait_for(opened.wait(), PATIENCE)
    return connection, Client(channel)


async def main(target):
    program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "proxy.py")
    pipe = asyncio.subprocess.PIPE
    proxy = await asyncio.create_subprocess_exec(sys.executable, program, stdin=pipe, stdout=pipe, limit=1 << 20)
    connection, client = await connect(proxy)
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(await measure(client, target.rstrip("/"), proxy.pid)), flush=True)
    await connection.close()
    proxy.stdin.close()
    await proxy.wait()


if len(sys.argv) != 2:
    sys.exit("usage: rival.py TARGET")
asyncio.run(main(sys.argv[1]))

"""Reads the vectors in spec/vectors with the wire.py of a starter: vectors.py STARTER VECTORS. Prints what it reads otherwise."""

import json
import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
import wire  # noqa: E402


def read(vector):
    """What the chunks hold, as a vector says it: the frames, and the code at which reading ends."""
    records = wire.Records()
    records.frame_bytes_max = vector["limit"]
    frames = []
    try:
        for chunk in vector["chunks"]:
            for record in records.feed(bytes.fromhex(chunk), vector["transport"] == "websocket"):
                frames.append(wire.decode(record))
    except wire.Broken as broken:
        return frames, broken.code
    return frames, None


def is_expected(frames, code, expected):
    if code != expected.get("fault", {}).get("code") or len(frames) != len(expected["events"]):
        return False
    for (_, message), event in zip(frames, expected["events"]):
        ping = event.get("frame", {}).get("ping")
        if ping is not None and (message.nonce, message.push_seq) != (ping.get("nonce", 0), ping.get("pushSeq", 0)):
            return False
    return True


count = 0
for file in sorted(pathlib.Path(sys.argv[2]).glob("*.json")):
    for vector in json.loads(file.read_text("utf-8")).get("vectors", []):
        if vector.get("kind") == "stream":
            count += 1
            frames, code = read(vector)
            if not any(is_expected(frames, code, each) for each in vector["expect"]):
                print("%s: %s: %d frames, %s" % (file.name, vector["id"], len(frames), code))
print("%d vectors" % count)

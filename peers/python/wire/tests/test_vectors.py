"""The wire against spec/vectors: `python3 -m unittest discover -s peers/python -t peers/python`."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import unittest
import zlib
from pathlib import Path

from google.protobuf import descriptor_pb2, json_format

from wire import CODES, FrameReader, UnknownFrame, WireError, encode
from wire.codes import ERROR_CODE
from wire.messages import PACKAGE, message_class, read_files

ROOT = Path(__file__).parents[4]
Frame = message_class("Frame")


def vectors(file: str) -> list[dict]:
    return json.loads((ROOT / "spec" / "vectors" / f"{file}.json").read_text())["vectors"]


def as_json(frame) -> dict:
    return json_format.MessageToDict(frame)


def play(vector: dict) -> dict:
    """What the reader makes of a stream, in the form of an outcome of spec/vectors."""
    reader = FrameReader(vector["limit"])
    take = reader.feed_message if vector["transport"] == "websocket" else reader.feed
    outcome: dict = {"events": []}
    for chunk in vector["chunks"]:
        try:
            for frame in take(bytes.fromhex(chunk)):
                if not isinstance(frame, UnknownFrame):
                    outcome["events"].append({"frame": as_json(frame)})
                else:
                    outcome["events"].append({"skip" if frame.optional else "unsupported": frame.kind})
        except WireError as error:
            outcome["fault"] = {"code": error.code, "clause": error.clause}
    if reader.waiting:
        outcome["waiting"] = True
    return outcome


class VectorsTest(unittest.TestCase):
    def test_each_frame_is_read_as_its_vector_says_and_written_as_the_same_bytes(self) -> None:
        for vector in vectors("frames"):
            with self.subTest(vector["id"]):
                (frame,) = FrameReader(1 << 20).feed(bytes.fromhex(vector["hex"]))
                self.assertEqual(as_json(frame), vector["frame"])
                self.assertEqual(encode(json_format.ParseDict(vector["frame"], Frame())).hex(), vector["hex"])

    def test_each_stream_comes_to_an_outcome_that_its_vector_allows(self) -> None:
        for file in ("legal", "streams", "malformed"):
            for vector in vectors(file):
                with self.subTest(vector["id"]):
                    self.assertIn(play(vector), vector["expect"])

    def test_each_crc_is_that_of_zlib(self) -> None:
        for vector in vectors("crc32"):
            with self.subTest(vector["id"]):
                self.assertEqual(zlib.crc32(bytes.fromhex(vector["body"])), vector["crc32"])

    def test_a_fault_says_where_in_the_stream_it_is(self) -> None:
        reader = FrameReader()
        ping = bytes.fromhex("0a074205080710ac02")
        self.assertEqual(len(list(reader.feed(ping))), 1)
        with self.assertRaises(WireError) as raised:
            list(reader.feed(bytes.fromhex("0a0442020e00")))
        self.assertEqual(raised.exception.offset, len(ping) + 5)
        self.assertEqual(list(reader.feed(ping)), [], "nothing is read behind a fault")


class RegistryTest(unittest.TestCase):
    def test_every_code_goes_with_the_scope_retry_and_fate_of_the_registry(self) -> None:
        (file,) = [file for file in read_files().file if file.name == "imwire/v1/codes.proto"]
        said = {}
        for location in file.source_code_info.location:
            if len(location.path) == 4 and location.path[2] == 2:
                name = file.enum_type[0].value[location.path[3]].name
                said[name] = " ".join(location.leading_comments.split())
        said.pop("ERROR_CODE_UNSPECIFIED")
        self.assertEqual(set(said), {f"ERROR_CODE_{name}" for name in CODES})
        for name, code in CODES.items():
            with self.subTest(name):
                comment = said[f"ERROR_CODE_{name}"]
                self.assertEqual(code.number, ERROR_CODE[f"ERROR_CODE_{name}"])
                self.assertIn(f"Scope: {['', 'request', 'session'][code.scope]}.", comment)
                retry = ["", "NEVER", "LATER", "AFTER_PREDECESSOR", "AFTER_RESYNC", "RECONNECT", "REAUTH"][code.retry]
                self.assertIn(f"Retry: {retry}.", comment)
                fate = ["", "NOT_DONE", "UNKNOWN"][code.fate]
                self.assertEqual(f"Fate: {fate}." in comment, code.fate != 0)
                self.assertEqual("Fate:" in comment, code.fate != 0)

    @unittest.skipUnless(shutil.which("protoc"), "protoc is not there to compare with")
    def test_the_descriptor_set_holds_what_is_in_proto(self) -> None:
        files = sorted((ROOT / "proto" / "imwire" / "v1").glob("*.proto"))
        with tempfile.NamedTemporaryFile() as out:
            subprocess.run(["protoc", f"-I{ROOT / 'proto'}", f"--descriptor_set_out={out.name}", *files], check=True)
            fresh = descriptor_pb2.FileDescriptorSet.FromString(Path(out.name).read_bytes())
        kept = {file.name: file for file in read_files().file if file.package == PACKAGE}
        for file in kept.values():
            file.ClearField("source_code_info")
        self.assertEqual(kept, {file.name: file for file in fresh.file})


if __name__ == "__main__":
    unittest.main()

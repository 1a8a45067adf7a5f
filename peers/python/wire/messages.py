"""The messages of proto/imwire/v1 as classes of python-protobuf, made when this module is loaded.

They come from the descriptor set that the repository keeps of the protocol, so there is no build step, nothing generated to
commit, and nothing that can be older than the protocol. Who wants files with types for an editor makes them with
`imwire-gen lang python --out bindings`; the classes are the same.
"""

from __future__ import annotations

from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

DESCRIPTOR_SET = Path(__file__).parents[3] / "proto" / "releases" / "imwire-1.0.0-draft.binpb"

PACKAGE = "imwire.v1"


def read_files() -> descriptor_pb2.FileDescriptorSet:
    """The protocol's files as descriptors, with their comments."""
    return descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTOR_SET.read_bytes())


def _load() -> tuple[dict[str, type[Message]], descriptor_pool.DescriptorPool]:
    pool = descriptor_pool.DescriptorPool()
    files = {file.name: file for file in read_files().file}
    added: set[str] = set()

    def add(name: str) -> None:
        # A pool takes a file only behind those that it imports.
        if name in added:
            return
        added.add(name)
        for needed in files[name].dependency:
            add(needed)
        pool.AddSerializedFile(files[name].SerializeToString())

    ours = [name for name, file in files.items() if file.package == PACKAGE]
    for name in ours:
        add(name)
    factory = message_factory.MessageFactory(pool)
    classes = {}
    for name in ours:
        for message in files[name].message_type:
            classes[message.name] = factory.GetPrototype(pool.FindMessageTypeByName(f"{PACKAGE}.{message.name}"))
    return classes, pool


_CLASSES, POOL = _load()


def message_class(name: str) -> type[Message]:
    """The class of a message by its name in proto, as `Frame` or `SendReq`."""
    return _CLASSES[name]


def enum_values(name: str) -> dict[str, int]:
    """The numbers of an enum by their names in proto, as {"FATE_UNKNOWN": 2}."""
    return {value.name: value.number for value in POOL.FindEnumTypeByName(f"{PACKAGE}.{name}").values}


def __getattr__(name: str) -> type[Message]:
    """So that `from wire.messages import SendReq` works without a list of names to keep."""
    try:
        return _CLASSES[name]
    except KeyError:
        raise AttributeError(f"imwire.v1 has no message {name}") from None

"""TensorBoard's event files: cutting them back to where a run goes on."""

import struct
from collections.abc import Iterator
from pathlib import Path

from rlkit import outside

PATTERN = "events.out.tfevents.*"
_HEAD, _FOOT = 12, 4  # length (uint64) and its checksum; the checksum of the data


def records(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The complete records of a TFRecord file: each with its frame, and its content alone."""
    at = 0
    while at + _HEAD <= len(data):
        (size,) = struct.unpack_from("<Q", data, at)
        end = at + _HEAD + size + _FOOT
        if end > len(data):  # torn by a kill
            return
        yield data[at:end], data[at + _HEAD : end - _FOOT]
        at = end


def cut(folder: Path, step: int) -> int:
    """Remove values beyond a step, and torn ends, from the event files of a folder.

    Args:
      folder: TensorBoard's folder of a run; it need not exist.
      step: the last one whose values stay.

    Returns:
      The number of event files there are.
    """
    from google.protobuf.message import DecodeError
    from tensorboardX.proto.event_pb2 import Event  # pyrefly: ignore

    files = sorted(folder.glob(PATTERN))
    for file in files:
        data, kept = file.read_bytes(), bytearray()
        for whole, content in records(data):
            try:
                event = Event.FromString(content)
            except DecodeError:
                break
            if not event.HasField("summary") or event.step <= step:
                kept += whole
        if kept != data:
            outside.replace(file, lambda out, kept=bytes(kept): out.write(kept))
    return len(files)

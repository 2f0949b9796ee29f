"""Reading the files that wandb writes offline: records of its protocol in LevelDB's log format."""

import struct

BLOCK, HEADER = 32768, 7
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


def records(path):
    """The records of a file, as messages of wandb's protocol."""
    from wandb.proto import wandb_internal_pb2

    data, at, parts = path.read_bytes(), HEADER, b""  # the file begins with a header of its own
    while at + HEADER <= len(data):
        if BLOCK - at % BLOCK < HEADER:  # the end of a block is left empty
            at += BLOCK - at % BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        parts += data[at + HEADER : at + HEADER + length]
        at += HEADER + length
        if kind in (FULL, LAST):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(parts)
            parts = b""
            yield record

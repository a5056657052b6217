"""What an Arrow message says of itself, read by hand: pyarrow tells it only after it has acted.

Seen with pyarrow 26: a compressed record batch of 8,440 bytes became 268 MB in `read_record_batch`;
`ipc.Message` gives its metadata as bytes, and nothing in pyarrow reads the compression in them.
"""

import struct

MARKER = b"\xff\xff\xff\xff"  # before each message since Arrow 0.15; pyarrow reads older ones, too


def compressed(data: memoryview) -> bool:
    """Whether an encapsulated Arrow message says that its body is compressed.

    Arrow's format: a marker, the metadata's length, then a flatbuffer `Message`, whose field 2 is
    the `RecordBatch`, whose field 3 is the compression. Raises `struct.error` past the end, and
    where the marker is missing.
    """
    if data[:4] != MARKER:
        raise struct.error("an Arrow message that has no marker")
    metadata = data[8:]

    def field(table: int, number: int) -> int:
        """Where the value of a table's field lies; 0 where the field is absent."""
        vtable = table - _number("<i", metadata, table)
        if _number("<H", metadata, vtable) < 6 + 2 * number:
            return 0
        offset = _number("<H", metadata, vtable + 4 + 2 * number)
        return table + offset if offset else 0

    header = field(_number("<I", metadata, 0), 2)
    return bool(header and field(header + _number("<I", metadata, header), 3))


def _number(kind: str, data: memoryview, place: int) -> int:
    if place < 0:
        raise struct.error("an offset before the beginning")
    return int(struct.unpack_from(kind, data, place)[0])

"""Files of images."""


def idx(array):
    """The bytes of an IDX file."""
    return (
        bytes((0, 0, 8, array.ndim))
        + b"".join(size.to_bytes(4, "big") for size in array.shape)
        + array.tobytes()
    )

"""Archives, unpacked."""

import tarfile


def unpack(archive, folder):
    """Unpack a tar archive into a folder, without files outside of it."""
    # Python 3.11 has filters from 3.11.4 on; later versions warn without one.
    how = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    with tarfile.open(archive) as found:
        found.extractall(folder, **how)

"""A likelihood that is a file: events in as many bits as a model says they hold, and back again.

A figure of 1.73 bits/dim claims that an image of 64 pixels fits into 1.73 x 64 bits. `compress`
takes the model at its word.
"""

from genzoo.compression.file import HEADER_BYTES, compress, decompress, fingerprint

__all__ = ["HEADER_BYTES", "compress", "decompress", "fingerprint"]

"""The names of the data sets, each with one line about it.

Imports nothing, so that ``genzoo list`` is instant.
"""

SPLITS = ("train", "validation", "test")  # of every data set

NAMES = {
    "landmass": "points uniform over the world's land: the lecture's Hello World, "
    "true density known",
    "moons": "two interleaved half circles of points, two classes",
    "gaussians": "points of a fixed mixture of five Gaussians in any number of dimensions, "
    "true density known",
    "biscuits": "16x16 grey biscuit tins described by height and width, true density known",
    "ising": "3x3 spins of a magnet: 512 pictures in all, each of known probability",
    "digits": "8x8 handwritten digits in 17 grey levels (scikit-learn, no download)",
    "digits-index": "the same, split by index as in the notebooks of Tomczak's book",
    "scenes": "32x32 colour pictures of one or two things, every attribute known",
    "captions": "descriptions of such scenes, word by word",
    "mnist": "28x28 handwritten digits in 256 grey levels (11 MB download)",
    "mnist-binary": "the same in black and white, drawn afresh for every batch (reported in nats)",
    "fashion-mnist": "28x28 pieces of clothing in 256 grey levels (30 MB download)",
    "cifar10": "32x32 colour photographs of ten kinds of things (170 MB download)",
}

YOURS = "path to a .npz file with an array x, or to a folder of images"

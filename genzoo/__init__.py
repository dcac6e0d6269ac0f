"""genzoo: six families of generative models behind one interface, compared honestly.

    >>> import genzoo
    >>> data = genzoo.data.load("digits")
    >>> model = genzoo.VAE(data.event_shape, levels=data.levels)
    >>> model.sample(3).shape
    torch.Size([3, 1, 8, 8])

Public names are listed in ``__init__.pyi`` and imported on first use, so that ``import genzoo`` and
``genzoo --help`` cost nothing.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

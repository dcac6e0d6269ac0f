"""The exercises of the course: what each asks, its hints, and the check that answers in sentences.

    >>> import genzoo.course
    >>> genzoo.course.exercises()["9a"].title
    'An affine coupling layer'

Knowing them takes no torch; checking one does. Names are listed in ``__init__.pyi`` and imported on
first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

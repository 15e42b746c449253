"""Pillow's images: `show()` displays them, and `save()` to a path displays them too.

There is no viewer in a sandbox, and somebody who saves a picture wants to see it. Pillow is changed
when the user imports it, or now if it is loaded.
"""

import functools
import sys
from importlib.machinery import PathFinder

MODULE = "PIL.Image"


def _change(module):
    from IPython.display import display

    kind = module.Image
    save = kind.save

    @functools.wraps(save)
    def save_and_display(self, fp, *args, **options):
        done = save(self, fp, *args, **options)
        if isinstance(fp, str):
            display(self)
        return done

    kind.save = save_and_display
    # What Image.show calls, by either name that versions of Pillow have for it.
    module._show = lambda image, **_: display(image)
    kind.show = lambda self, title=None, **_: display(self)


class _Finder:
    """Finds `PIL.Image` as usual and changes it once loaded."""

    def find_spec(self, name, path=None, target=None):
        if name != MODULE:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return None
        load = spec.loader.exec_module

        def load_and_change(module):
            load(module)
            _change(module)
            if self in sys.meta_path:
                sys.meta_path.remove(self)

        spec.loader.exec_module = load_and_change
        return spec


def watch():
    """Changes Pillow as soon as it is there."""
    module = sys.modules.get(MODULE)
    if module is None:
        sys.meta_path.insert(0, _Finder())
    else:
        _change(module)

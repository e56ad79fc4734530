"""What VTK draws with where there is no display."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def drawing_backend(window: bool) -> Iterator[None]:
    """Choose what VTK draws with where there is no display, for as long as needed.

    Without a display VTK would first try one, say that it failed and, where a library
    is missing, end the whole process. So it is told to use EGL, or OSMesa where there
    is no EGL, unless the user has chosen; where there is neither, that is an error.
    """
    name = "VTK_DEFAULT_OPENGL_WINDOW"
    display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if sys.platform != "linux" or display or (os.environ.get(name) and not window):
        yield
        return
    if window:
        raise RuntimeError("there is no display for a window; give path= to get a PNG")
    import pyvista

    if pyvista.vtk_version_info < (9, 4):
        raise RuntimeError(
            "to draw without a display VTK 9.4 or newer is needed, this is "
            f"{'.'.join(map(str, pyvista.vtk_version_info))}"
        )
    if _egl_devices():
        os.environ[name] = "vtkEGLRenderWindow"
    elif _loadable("libOSMesa.so.8", "libOSMesa.so.6"):
        os.environ[name] = "vtkOSOpenGLRenderWindow"
    else:
        raise RuntimeError(
            "VTK has nothing to draw with: no display, no EGL device and no OSMesa; "
            "install one of the system libraries libEGL (with Mesa) or libOSMesa"
        )
    try:
        yield
    finally:
        del os.environ[name]


def _loadable(*names: str) -> Any:
    """The first of these shared libraries that loads, or None."""
    import ctypes

    for name in names:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


def _egl_devices() -> int:
    """How many devices EGL can draw on; 0 where there is no EGL."""
    import ctypes

    egl = _loadable("libEGL.so.1")
    if egl is None:
        return 0
    egl.eglGetProcAddress.restype = ctypes.c_void_p
    address = egl.eglGetProcAddress(b"eglQueryDevicesEXT")
    if not address:
        return 0
    count = ctypes.c_int(0)
    query = ctypes.CFUNCTYPE(
        ctypes.c_uint, ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int)
    )(address)
    return count.value if query(0, None, ctypes.byref(count)) else 0

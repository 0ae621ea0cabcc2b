"""Runs our programs in Debian's kernels, emulated: README.md."""
from .cross import build_for, cross_build
from .debian import Unavailable
from .kernel import Kernel
from .machine import Disk, GuestFailed, Machine, run_together

__all__ = ["Disk", "GuestFailed", "Kernel", "Machine", "Unavailable", "build_for", "cross_build", "run_together"]

"""One source of knowledge per file."""

from mfmat.experts.gp import GP

__all__ = ["GP"]

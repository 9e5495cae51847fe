"""Figures and the one-file HTML report."""

from mfmat.reports.page import report

__all__ = ["report"]

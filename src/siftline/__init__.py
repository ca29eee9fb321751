"""Curate and select instruction data for supervised fine-tuning."""

__version__ = "0.1.0"

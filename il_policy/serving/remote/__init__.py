"""Inference on another machine: authenticated, typed, bounded, and silent when the link is lost."""

"""The processes of one training: usually one, several under `accelerate launch`.

Every process draws its own batches; gradients are averaged, so that weights stay the same everywhere. The
heads call their networks in many ways, so the averaging happens on gradients and not inside a wrapper.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from il_core.errors import ConfigError


class Processes:
    """This process among its peers."""

    def __init__(self, device: str) -> None:
        """Join the peers that ``accelerate launch`` (or torchrun) has announced in the environment.

        Raises:
            ConfigError: there are peers, but the library that joins them is not installed.
        """
        self.rank, self.count = 0, int(os.environ.get("WORLD_SIZE", "1"))
        if self.count == 1:
            return
        try:
            from accelerate import Accelerator
        except ImportError as error:
            problem = f"WORLD_SIZE is {self.count}, but 'accelerate' is not installed: pip install accelerate"
            raise ConfigError("training in several processes", problem) from error
        self._accelerator = Accelerator(cpu=device == "cpu")
        self.rank, self.count = self._accelerator.process_index, self._accelerator.num_processes

    @property
    def is_main(self) -> bool:
        """Whether this process validates, reports and writes."""
        return self.rank == 0

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace gradients by their mean over all processes, in one message."""
        if self.count == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        mean = self._accelerator.reduce(torch.cat([g.flatten() for g in gradients]), "mean")
        at = 0
        for g in gradients:
            g.copy_(mean[at : at + g.numel()].view_as(g))
            at += g.numel()

    def agree(self, value: float) -> float:
        """The main process's value, in all of them."""
        if self.count == 1:
            return value
        from accelerate.utils import broadcast

        told = torch.tensor([value], dtype=torch.float64, device=self._accelerator.device)
        return float(broadcast(told).item())

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """One tensor of each process, in the order of their ranks."""
        if self.count == 1:
            return [tensor]
        gathered = self._accelerator.gather(tensor[None].to(self._accelerator.device))
        return list(gathered.cpu())

    def close(self) -> None:
        """Leave the peers."""
        if self.count > 1:
            self._accelerator.wait_for_everyone()
            self._accelerator.end_training()

"""What training runs on: the card there is, or the processor and the memory of the machine."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class Device:
    """`bf16`: the card computes in it. `total` bytes of its memory, or of the machine's."""

    kind: Literal["cpu", "cuda"]
    name: str
    total: int
    bf16: bool


@cache
def device() -> Device:
    """torch is imported only where there is a card to ask about."""
    if Path("/dev/nvidiactl").exists():
        import torch

        if torch.cuda.is_available():
            card = torch.cuda.get_device_properties(0)
            return Device("cuda", card.name, card.total_memory, torch.cuda.is_bf16_supported())
    import psutil

    return Device("cpu", "RAM", psutil.virtual_memory().total, False)


def free_bytes(of: Device) -> int:
    """What is free on it now."""
    if of.kind == "cuda":
        import torch

        return int(torch.cuda.mem_get_info(0)[0])
    import psutil

    return int(psutil.virtual_memory().available)

"""Base classes of trunks: blocks with a slot at each insertion point, and slots between stages."""

from collections.abc import Iterable, Sequence

from torch import Tensor, nn


class SlottedBlock(nn.Module):
    """Base of blocks: has a slot, initially ``nn.Identity``, for every insertion point, which ``forward`` must call.

    The slots are ``pre``, ``inner``, ``pre_norm``, ``standard``, ``identity`` and ``post``; each maps ``(B, C, H, W)`` to the
    same shape.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pre = nn.Identity()
        self.inner = nn.Identity()
        self.pre_norm = nn.Identity()
        self.standard = nn.Identity()
        self.identity = nn.Identity()
        self.post = nn.Identity()


class SlottedTrunk(nn.Module):
    """Base of trunks: has a slot, initially ``nn.Identity``, between each two stages (``stage_ends``).

    Subclasses define ``blocks``, the blocks from input to output, and call `run_blocks` in ``forward``. ``stage_lengths`` is
    the number of blocks of each stage.
    """

    def __init__(self, stage_lengths: Sequence[int]) -> None:
        super().__init__()
        self.stage_ends = nn.ModuleList(nn.Identity() for _ in stage_lengths[1:])
        self.end_after = {sum(stage_lengths[: stage + 1]) - 1: stage for stage in range(len(stage_lengths) - 1)}

    def run_blocks(self, x: Tensor, blocks: Iterable[nn.Module], between: Sequence[nn.Module] = ()) -> Tensor:
        """Apply ``blocks`` to ``x`` ``(B, C, H, W)``; after each stage but the last, also its stage end and ``between``."""
        for index, block in enumerate(blocks):
            x = block(x)
            if index in self.end_after:
                stage = self.end_after[index]
                x = self.stage_ends[stage](x)
                if between:
                    x = between[stage](x)
        return x

"""What every trunk shares: blocks with an empty slot at each insertion point, and slots between stages."""

from collections.abc import Iterable, Sequence

from torch import Tensor, nn


class SlottedBlock(nn.Module):
    """A block with a slot, an identity until it is filled, at every insertion point; ``forward`` calls each in its place."""

    def __init__(self) -> None:
        super().__init__()
        self.pre = nn.Identity()
        self.inner = nn.Identity()
        self.pre_norm = nn.Identity()
        self.standard = nn.Identity()
        self.identity = nn.Identity()
        self.post = nn.Identity()


class SlottedTrunk(nn.Module):
    """A trunk of stages of blocks with a slot between each two stages; the subclass has ``blocks``, from input to output."""

    def __init__(self, stage_lengths: Sequence[int]) -> None:
        super().__init__()
        self.stage_ends = nn.ModuleList(nn.Identity() for _ in stage_lengths[1:])
        self.end_after = {sum(stage_lengths[: stage + 1]) - 1: stage for stage in range(len(stage_lengths) - 1)}

    def run_blocks(self, x: Tensor, blocks: Iterable[nn.Module], between: Sequence[nn.Module] = ()) -> Tensor:
        """``x`` sent through ``blocks``; behind each stage but the last comes its end, then its module of ``between``."""
        for index, block in enumerate(blocks):
            x = block(x)
            if index in self.end_after:
                stage = self.end_after[index]
                x = self.stage_ends[stage](x)
                if between:
                    x = between[stage](x)
        return x

"""What the blocks of other libraries share once they have slots."""

from torch import Tensor, nn

from attn_nas.models.slots import SlottedBlock


def through(x: Tensor, *modules: nn.Module | None) -> Tensor:
    """``x`` sent through the ``modules`` that there are."""
    for module in modules:
        if module is not None:
            x = module(x)
    return x


class HostBlock(SlottedBlock):
    """A block of another library: its own parameters and modules under their own names, and a slot at every insertion point.

    Such a block is known by the names of the modules ``needed``, of the ``options`` that it may have besides, and of
    further ``attributes``. ``stage_end`` is a slot behind the block.
    """

    title: str
    needed: tuple[str, ...]
    options: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.stage_end = nn.Identity()
        self.train(block.training)
        for name, value in vars(block).items():
            if not name.startswith("_"):
                setattr(self, name, value)
        for name, parameter in block.named_parameters(recurse=False):
            self.register_parameter(name, parameter)
        for name, buffer in block.named_buffers(recurse=False):
            self.register_buffer(name, buffer, name not in block._non_persistent_buffers_set)
        for name, module in block.named_children():
            self.add_module(name, module)

    @classmethod
    def fits(cls, block: nn.Module) -> bool:
        """Whether ``block`` has the modules and attributes of such a block, and no others."""
        children = {name for name, _ in block.named_children()}
        return children - set(cls.options) == set(cls.needed) and all(hasattr(block, name) for name in cls.attributes)

    @property
    def replaced(self) -> str:
        """The path of the convolution whose place a mechanism at ``replace`` takes."""
        return "conv2"

    def run(self, x: Tensor, *names: str) -> Tensor:
        """``x`` sent through the modules of these names, as far as the block has them."""
        return through(x, *(getattr(self, name, None) for name in names))

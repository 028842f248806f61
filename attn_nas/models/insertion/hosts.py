"""The base class of blocks of other libraries with slots."""

from torch import Tensor, nn

from attn_nas.models.slots import SlottedBlock


def through(x: Tensor, *modules: nn.Module | None) -> Tensor:
    """Apply ``modules`` to ``x`` in order; None is skipped."""
    for module in modules:
        if module is not None:
            x = module(x)
    return x


class HostBlock(SlottedBlock):
    """A block of another library with a slot at every insertion point; parameters and modules keep their names.

    A block is recognised by the names of its modules: all of ``needed``, any of ``options``, no others; and by its
    ``attributes``. ``stage_end`` is a slot after the block. ``title`` names the kind of block in messages.
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
        """True if ``block`` has the modules and attributes of this kind of block, and no other modules."""
        children = {name for name, _ in block.named_children()}
        return children - set(cls.options) == set(cls.needed) and all(hasattr(block, name) for name in cls.attributes)

    @property
    def replaced(self) -> str:
        """Dotted path of the convolution that a mechanism at ``replace`` substitutes."""
        return "conv2"

    def run(self, x: Tensor, *names: str) -> Tensor:
        """Apply the modules of these ``names`` to ``x`` in order; missing ones are skipped."""
        return through(x, *(getattr(self, name, None) for name in names))

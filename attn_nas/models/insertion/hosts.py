"""The base class of blocks of other libraries with slots."""

from typing import TYPE_CHECKING, Any, ClassVar

from torch import nn

from attn_nas.models.insertion.block_probe import SLOTS
from attn_nas.models.insertion.derived import derived
from attn_nas.models.insertion.undoing import record_class, record_module, record_option
from attn_nas.models.slots import SlottedBlock


class HostBlock(SlottedBlock):
    """The class that a block of another library gets, with a slot at every insertion point.

    The block itself stays: its modules, parameters, hooks and attributes. A block is recognised by the names of its modules:
    all of ``needed``, any of ``options``, no others but ``nn.Identity``; and by its ``attributes``. ``stage_end`` is a slot
    after the block. ``title`` names the kind of block in messages.
    """

    title: ClassVar[str]
    needed: ClassVar[tuple[str, ...]]
    options: ClassVar[tuple[str, ...]] = ()
    attributes: ClassVar[tuple[str, ...]] = ()
    __jit_unused_properties__: ClassVar[list[str]] = ["replaced"]

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """A module or parameter of the block."""

    @classmethod
    def fits(cls, block: nn.Module) -> bool:
        """True if ``block`` has the modules and attributes of this kind of block, and no other modules."""
        return cls.has_needed(block) and not cls.additions(block)

    @classmethod
    def has_needed(cls, block: nn.Module) -> bool:
        """True if ``block`` has the modules that this kind of block must have, and its attributes."""
        children = {name for name, _ in block.named_children()}
        return children >= set(cls.needed) and all(hasattr(block, name) for name in cls.attributes)

    @classmethod
    def additions(cls, block: nn.Module) -> list[str]:
        """Names of the modules of ``block`` that this kind of block does not have; ``nn.Identity`` does not count."""
        known = {*cls.needed, *cls.options}
        return [name for name, module in block.named_children() if name not in known and type(module) is not nn.Identity]

    @classmethod
    def take(cls, block: nn.Module) -> nn.Module:
        """Make ``block`` a block of this class, in place, with empty slots, and return it.

        Its class is derived from this class and from its own, so that its other methods stay.

        Raises:
            TypeError: objects of the block's class cannot change their class.

        """
        bare = type(block)
        block.__class__ = derived(cls, bare)
        record_class(block, bare)
        for position in (*SLOTS, "stage_end"):
            record_module(block, position)
            block.add_module(position, nn.Identity().train(block.training))
        for name in cls.options:
            if not hasattr(block, name):
                record_option(block, name)
                setattr(block, name, None)
        return block

    @property
    def replaced(self) -> str:
        """Dotted path of the convolution that a mechanism at ``replace`` substitutes."""
        return "conv2"

"""The full training of a run read back: what its networks reached, and their weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from attn_nas.errors import RunError, first_line
from attn_nas.execution.replicates import ReplicateFolder
from attn_nas.runs.candidate import Candidate
from attn_nas.runs.run import Run
from attn_nas.space.genotype import Genotype
from attn_nas.space.schema import ProxySettings
from attn_nas.training.protocol import Replicate, Trained


@dataclass(frozen=True)
class FullTraining:
    """The last full training of a run that came to a verdict.

    ``folder`` keeps its results and weights, ``winners`` are the keys of what was compared with the references, ``pretrained``
    names the weights that it began from, and ``versions`` are those that it was made with.
    """

    run: Run
    recipe: ProxySettings
    seeds: tuple[int, ...]
    folder: Path
    winners: tuple[str, ...]
    pretrained: str | None
    versions: Mapping[str, str]

    @classmethod
    def of(cls, run: Run) -> FullTraining:
        """That of ``run``; raises RunError if there is none, or if what it left is damaged."""
        path = run.folder.path / "retraining.json"
        try:
            plan = json.loads(path.read_text(encoding="utf-8"))["plan"]
            winners = tuple(each["key"] for each in plan["networks"] if each["role"] == "winner")
            recipe = ProxySettings.model_validate(plan["recipe"])
            return cls(
                run,
                recipe,
                tuple(plan["seeds"]),
                run.folder.path / plan["folder"],
                winners,
                plan["pretrained"],
                plan["versions"],
            )
        except FileNotFoundError:
            raise RunError(f"{run.folder.path} has no full training yet: attn-nas retrain {run.folder.path}") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(f"{path} is damaged ({first_line(error)}): the same attn-nas retrain writes it again") from None

    def trainings(self, candidate: Candidate) -> list[Trained]:
        """Those of ``candidate``, by seed; raises RunError unless it has them all."""
        genotype, folder = candidate.record.genotype, ReplicateFolder(self.folder)
        found = [trained for seed in self.seeds if (trained := folder.get(Replicate(genotype, seed)))]
        if len(found) < len(self.seeds):
            again = f"attn-nas retrain {self.run.folder.path} {genotype.key}"
            raise RunError(f"{genotype.key} was not trained in full with {len(self.seeds)} seeds: {again}")
        return found

    def weights(self, genotype: Genotype) -> tuple[int, dict[str, Tensor]]:
        """The seed whose weights were kept, and these; raises RunError."""
        path = self.folder / "weights" / f"{genotype.key}.safetensors"
        try:
            with safe_open(path, "pt") as file:
                seed = int((file.metadata() or {})["seed"])
                if seed not in self.seeds:
                    raise ValueError(f"its seed is {seed}, trained were {', '.join(map(str, self.seeds))}")
                return seed, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  a file is no mapping
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise RunError(
                f"{path} is missing or damaged ({first_line(error)}): remove it, and the same attn-nas retrain makes it again"
            ) from None

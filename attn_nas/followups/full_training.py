"""Read the full training of a run: results and weights of its networks."""

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
    """The last full training of a run that was finished.

    ``folder`` holds results and weights. ``winners`` are the keys of the candidates that were compared with the references.
    ``pretrained`` is the file of the weights that the trainings started from, or None. ``versions`` are the versions of
    attn-nas and torch that trained.
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
        """Read the full training of ``run``.

        Raises:
            RunError: ``run`` has no full training, or its file is damaged.

        """
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
        """Return the trainings of ``candidate``, in the order of the seeds.

        Raises:
            RunError: ``candidate`` lacks the training of a seed.

        """
        genotype, folder = candidate.record.genotype, ReplicateFolder(self.folder)
        found = [trained for seed in self.seeds if (trained := folder.get(Replicate(genotype, seed)))]
        if len(found) < len(self.seeds):
            again = f"attn-nas retrain {self.run.folder.path} {genotype.key}"
            raise RunError(f"{genotype.key} was not trained in full with {len(self.seeds)} seeds: {again}")
        return found

    def weights(self, genotype: Genotype) -> tuple[int, dict[str, Tensor]]:
        """Return the seed whose weights were kept, and these weights by parameter name.

        Raises:
            RunError: the file is missing or damaged.

        """
        path = self.folder / "weights" / f"{genotype.key}.safetensors"
        try:
            with safe_open(path, "pt") as file:
                seed = int((file.metadata() or {})["seed"])
                if seed not in self.seeds:
                    raise ValueError(f"its seed is {seed}, trained were {', '.join(map(str, self.seeds))}")
                return seed, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  the file is not a mapping
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise RunError(
                f"{path} is missing or damaged ({first_line(error)}): remove it, and the same attn-nas retrain makes it again"
            ) from None

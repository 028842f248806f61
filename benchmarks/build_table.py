"""Train a table of attention placements, or a shard of one; merge shards; say what a table says.

``--folder`` keeps every training as a file, so that a build which is stopped goes on, and a folder belongs to one machine.
``--shard 2/4`` trains the second quarter of what all seeds and networks make. What the table ``--to`` has already is not
trained again; what is trained is added to it when all of it is done, and so are the tables named with ``--merge`` (without
``--folder`` nothing is trained). The table's data card is written beside it, once there is a seed that all networks have.
Networks are trained with one seed after the other, each on one thread.
"""

from __future__ import annotations

import sys
import tempfile
from argparse import Namespace
from pathlib import Path

from common import hardware, make_parser, present
from rich.console import Console

from attn_nas.benchmark import EMBEDDED, Shard, Table, TableBuild
from attn_nas.benchmark.data_card import TableSummary, card, summarise
from attn_nas.errors import AttnNasError, TableError
from attn_nas.execution.resources import Resources
from attn_nas.space.loading import load_space
from attn_nas.terminal.training_lines import training_lines
from attn_nas.training import choose_numerics
from attn_nas.training.device import resolve_device

QUICK_SAMPLE, QUICK_SEEDS = 20, 2


def trained(chosen: Namespace, folder: Path, known: Table | None) -> Table:
    """The table of ``folder``, after training what it and ``known`` lack."""
    space = load_space(chosen.space)
    if chosen.quick:
        data = space.data.model_copy(update={"num_train": 256, "num_validation": 200})
        space = space.model_copy(update={"data": data, "proxy": space.proxy.model_copy(update={"epochs": 1})})
    numerics = choose_numerics(resolve_device(chosen.device), space.proxy.precision)
    sample = QUICK_SAMPLE if chosen.quick else chosen.sample
    build = TableBuild(
        chosen.name,
        space,
        range(QUICK_SEEDS if chosen.quick else chosen.seeds),
        folder,
        numerics,
        shard=Shard.parse(chosen.shard),
        sample=sample,
        hardware=hardware(),
        known=known,
    )
    if chosen.retry:
        build.forget_failures()
    missing = len(build.missing)
    console = Console(stderr=True)
    console.print(f"{len(build.replicates):,} trainings, {missing:,} to be done", highlight=False)
    resources = Resources.choose(numerics, max(1, missing), chosen.workers, threads=1)
    try:
        with training_lines(console, missing) as on_end:
            build.train(resources, on_end)
    except KeyboardInterrupt:
        console.print("stopped; what is done is kept: the same command goes on")
        raise SystemExit(130) from None
    for name, reason in build.failures.items():
        console.print(f"failed: {name}: {reason}; --retry trains it again", markup=False, highlight=False, soft_wrap=True)
    return build.table()


def write_card(table: Table, path: Path) -> TableSummary | None:
    """Write the data card of ``table``; None, and a notice, if it says nothing yet."""
    try:
        says = summarise(table)
    except TableError as error:
        print(f"no data card yet: {error}", file=sys.stderr)
        return None
    try:
        path.write_text(card(table, says), encoding="utf-8")
    except OSError as error:
        raise TableError(f"{path} cannot be written: {error.strerror}") from None
    return says


def text(table: Table, says: TableSummary | None) -> str:
    """The first figures, for a person."""
    size = f"{len(table.genotypes):,} networks, {len(table):,} trainings"
    if says is None:
        return size
    return (
        f"{size}\n"
        f"share of variance between networks: {says.between['test']} (test; - with one seed)\n"
        f"best reference {says.best_reference[0]}: {says.best_reference[1].hundredths()} %; true front of {len(says.front)}\n"
        f"surrogate, held out: {100 * says.held_out.mean_error:.2f} points, noise {100 * says.held_out.noise:.2f}"
    )


def main() -> None:
    """Train, merge, write, print."""
    parser = make_parser(__doc__.splitlines()[0])
    parser.add_argument("--space", default="cued_digits_table", help="search space of the table")
    parser.add_argument("--name", default=EMBEDDED.stem, help="name of the table")
    parser.add_argument("--seeds", type=int, default=3, help="paired seeds of every network")
    parser.add_argument("--sample", type=int, help="so many networks, where the space has more than can be trained")
    parser.add_argument("--shard", default="1/1", help="the part to train, as 2/4")
    parser.add_argument("--folder", type=Path, help="where trainings are kept")
    parser.add_argument("--merge", type=Path, nargs="*", default=[], help="tables to put together with it")
    parser.add_argument("--to", type=Path, default=EMBEDDED, help="the Parquet file to add to")
    parser.add_argument("--retry", action="store_true", help="train again what failed")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--workers", type=int, help="processes that train")
    chosen = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as temporary:
            if chosen.quick:
                chosen.folder, chosen.to = Path(temporary) / "trainings", Path(temporary) / "quick.parquet"
            tables = [Table.load(path) for path in (chosen.to, *chosen.merge) if path != chosen.to or path.exists()]
            known = Table.merge(tables) if tables else None
            if chosen.folder:
                tables.append(trained(chosen, chosen.folder, known))
            table = Table.merge(tables).add_to(chosen.to)
            says = write_card(table, chosen.to.with_suffix(".md"))
    except AttnNasError as error:
        print(f"build_table: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    present(chosen, len(table), text(table, says), says=says.to_dict() if says else None)


if __name__ == "__main__":
    main()

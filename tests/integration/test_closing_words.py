"""What a person sees of a search: lines, the live picture, the closing words."""

import io
import re

import pytest
from rich.console import Console

from attn_nas.engine.search import Search
from attn_nas.execution.settings import Local
from attn_nas.space.encoding import Encoding
from attn_nas.space.references import reference_genotypes
from attn_nas.space.task import Task
from attn_nas.terminal.closing import closing_lines
from attn_nas.terminal.tables import front_table
from attn_nas.testing import TableTrainer


def test_the_closing_words_compare_with_every_reference(tiny_space, tmp_path):
    """The best against each reference but itself, the noise, and how to go on after an interruption."""
    references = reference_genotypes(tiny_space, Encoding(tiny_space))
    table = {genotype.key: 0.5 + index / 100 for index, genotype in enumerate(references.values())}
    ended = []
    run = Search(tiny_space, run=tmp_path / "a run", training=TableTrainer(Task(3, 16, 16, 10), table)).optimize(
        n_trials=5, confirm=0, callbacks=[ended.append], execution=Local(workers=1)
    )
    words = "\n".join(closing_lines(run, ended[-1]))
    assert "5 of 5 candidates trained" in words
    assert "sure to be better" not in words
    assert "overestimated by chance" in words
    run = Search.load(tmp_path / "a run", training=TableTrainer(Task(3, 16, 16, 10), table)).optimize(
        confirm=1, callbacks=[ended.append], execution=Local(workers=1)
    )
    words = "\n".join(closing_lines(run, ended[-1]))
    assert sum("points against" in line and "sure to be better" in line for line in words.splitlines()) == len(references) - 1
    assert "overestimated by chance" not in words
    interrupted = type(ended[-1])(**{**vars(ended[-1]), "why": "interrupted"})
    assert f"--resume --run '{tmp_path}/a run'" in "\n".join(closing_lines(run, interrupted))


@pytest.mark.parametrize(("width", "apart"), [(200, "  "), (80, "\n    "), (50, "\n    ")])
def test_a_narrow_table_has_placements_below_the_figures(tiny_space, tmp_path, width, apart):
    """It never breaks a row; key and accuracy stay to the last."""
    run = Search(tiny_space, run=tmp_path, training=TableTrainer(Task(3, 16, 16, 10))).optimize(
        n_trials=5, confirm=0, callbacks=[], execution=Local(workers=1)
    )
    out = Console(width=width, file=io.StringIO())
    out.print(front_table(run.candidates, "Front", width))
    printed = out.file.getvalue()
    assert max(map(len, printed.splitlines())) <= width
    for candidate in run.candidates:
        row = rf"\n{candidate.record.key} +{re.escape(candidate.expected.hundredths())} %[^\n]*"
        assert re.search(row + apart + re.escape(str(candidate.record.genotype)), printed)

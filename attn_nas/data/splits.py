"""Divides images by class into a training and a validation split, and finds what is wrong with a division."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from attn_nas.data.dataset import Split, check_numbers
from attn_nas.errors import DataError
from attn_nas.format import listed

_MOST_PAIRS = 3
"""Pairs of equal images that a note names."""


def stratified_division(
    labels: Sequence[int],
    classes: Sequence[str],
    num_validation: int,
    num_train: int | None,
    seed: int,
    name: str,
) -> tuple[Tensor, Tensor]:
    """Divide images at random so that each class has the same share of both splits, up to rounding, and an image in each.

    Args:
        labels: label of each image, an index into ``classes``.
        classes: names of the classes.
        num_validation: number of validation images.
        num_train: number of training images; None for all others.
        seed: seed of the division.
        name: name of the data set, for messages.

    Returns:
        The indices of the training and of the validation images, each in random order.

    Raises:
        DataError: there are too few images, in all or of a class; the message names the classes.

    """
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    shuffled = torch.tensor(labels, dtype=torch.int64)[order]
    counts = torch.bincount(shuffled, minlength=len(classes)).tolist()
    _check_classes(counts, classes, name)
    check_numbers(len(labels), num_validation, num_train, name)
    rest = len(labels) - num_validation if num_train is None else num_train
    for key, number, what in (("num_validation", num_validation, "validation"), ("num_train", rest, "training")):
        if number < len(classes):
            raise DataError(
                f"{name}: {number} {what} images leave some of the {len(classes)} classes without any: choose data.num_train "
                f"and data.num_validation so that there are at least {len(classes)} ({key})"
            )
    held_out = _shares(counts, num_validation, [count - 1 for count in counts])
    left = [count - held for count, held in zip(counts, held_out, strict=True)]
    kept = _shares(left, rest, left)
    rank = torch.empty_like(shuffled)
    for label, count in enumerate(counts):
        rank[shuffled == label] = torch.arange(count)
    begin, length = torch.tensor(held_out)[shuffled], torch.tensor(kept)[shuffled]
    return order[(rank >= begin) & (rank < begin + length)], order[rank < begin]


def grouped_division(
    labels: Sequence[int] | None,
    groups: Sequence[object],
    num_validation: int,
    num_train: int | None,
    seed: int,
    name: str,
) -> tuple[Tensor, Tensor]:
    """Divide images at random so that no group, such as the images of a patient, is in both splits.

    Groups are taken in random order, the larger ones first, into the validation split while that brings the numbers of its
    images, by class, nearer to their share. The split has about ``num_validation`` images, at least one.

    Args:
        labels: label of each image; None where images have no single class.
        groups: group of each image.
        num_validation: wanted number of validation images.
        num_train: largest number of training images; None for all others.
        seed: seed of the division.
        name: name of the data set, for messages.

    Returns:
        The indices of the training and of the validation images, each in random order.

    Raises:
        DataError: there are fewer than two groups, or too few images.

    """
    if len(groups) != len(labels if labels is not None else groups):
        raise DataError(f"{name} has {len(labels or ())} images and {len(groups)} groups: give the group of each image")
    check_numbers(len(groups), num_validation, None, name)
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    if len(numbers) < 2:
        raise DataError(f"{name} has one group: at least 2 are needed, one of them for validation")
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(groups), generator=generator)
    members = torch.tensor([numbers[group] for group in groups])
    classes = torch.zeros(len(groups), dtype=torch.int64) if labels is None else torch.tensor(labels)
    counts = torch.zeros((len(numbers), int(classes.max()) + 1), dtype=torch.float64)
    counts.index_put_((members, classes), torch.ones(len(groups), dtype=torch.float64), accumulate=True)
    missing = counts.sum(0) * num_validation / len(groups)
    shuffled = torch.randperm(len(numbers), generator=generator)
    sizes = counts.sum(1)
    taken: list[int] = []
    for group in shuffled.tolist():
        left = missing - counts[group]
        if left.abs().sum() < missing.abs().sum() and len(taken) < len(numbers) - 1:
            missing = left
            taken.append(group)
    is_held = torch.isin(members, torch.tensor(taken or [int(sizes.argmin())]))[order]
    return order[~is_held][:num_train], order[is_held]


def notes_of_missing(splits: Mapping[str, Split], classes: Sequence[str]) -> tuple[str, ...]:
    """A sentence for each of the ``splits`` (by name) that has no image of some of the ``classes``."""
    notes = []
    for name, split in splits.items():
        if split.labels.ndim > 2:
            continue  # a class may be in few masks, and in no others
        counts = (
            torch.bincount(split.labels, minlength=len(classes)) if split.labels.ndim == 1 else split.labels.sum(0)
        ).tolist()
        if missing := [each for each, count in zip(classes, counts, strict=True) if not count]:
            notes.append(f"There are no {name} images of {listed(missing)}: choose more in data.num_train, data.num_validation")
    return tuple(notes)


def notes_of_equal(splits: Mapping[str, Split], files: Mapping[str, Sequence[str]] | None = None) -> tuple[str, ...]:
    """A sentence for each pair of ``splits`` (by name) that have images with equal pixels: how many, and examples.

    Another for each split in which images with equal pixels have different labels.

    ``files`` are the names of the images of each split, for the examples; without them these are positions.
    """
    notes, names = [], [*splits]
    for index, one in enumerate(names):
        places = {image: place for place, image in enumerate(splits[one].hashes)}
        for other in names[index + 1 :]:
            pairs = [(places[image], place) for place, image in enumerate(splits[other].hashes) if image in places]
            if pairs:
                notes.append(_note_of_equal(one, other, pairs, splits, files or {}))
        labels = splits[one].labels
        copies = [(places[image], place) for place, image in enumerate(splits[one].hashes) if places[image] != place]
        both = [pair for pair in copies if not torch.equal(labels[pair[0]], labels[pair[1]])]
        if both:
            examples = _examples(one, one, both, files or {})
            notes.append(
                f"{len(both)} of {len(labels)} {one} images have the same pixels as an image with another label: one of the "
                f"two labels is wrong. Remove the copies {examples}"
            )
    return tuple(notes)


def _note_of_equal(
    one: str,
    other: str,
    pairs: Sequence[tuple[int, int]],
    splits: Mapping[str, Split],
    files: Mapping[str, Sequence[str]],
) -> str:
    first, second = splits[one], splits[other]
    differing = sum(not torch.equal(first.labels[place], second.labels[copy]) for place, copy in pairs)
    labels = f", {differing} of them with another label" if differing else ""
    return (
        f"{len(pairs)} of {len(second)} {other} images have the same pixels as {one} images{labels}: the accuracy on them "
        f"says nothing about new images. Remove the copies {_examples(one, other, pairs, files)}"
    )


def _examples(one: str, other: str, pairs: Sequence[tuple[int, int]], files: Mapping[str, Sequence[str]]) -> str:
    """Some of the ``pairs`` of equal images in the splits ``one`` and ``other``, in brackets."""
    named = ", ".join(
        f"{files[one][place]} = {files[other][copy]}" if one in files and other in files else f"{place} = {copy}"
        for place, copy in pairs[:_MOST_PAIRS]
    )
    return f"({named}{', ...' if len(pairs) > _MOST_PAIRS else ''})"


def _check_classes(counts: Sequence[int], classes: Sequence[str], name: str) -> None:
    """Raise DataError unless each class can have an image in both splits."""
    few = [f"{each} ({count})" for each, count in zip(classes, counts, strict=True) if count < 2]
    if few:
        raise DataError(
            f"{name}: each class needs one image for training and one for validation, these have fewer: {listed(few)}. "
            "Add images, or remove the folders of these classes"
        )


def _shares(counts: Sequence[int], total: int, most: Sequence[int]) -> list[int]:
    """Divide ``total`` among classes in proportion to ``counts``, at least 1 and at most ``most`` for each.

    The largest remainders are rounded up. ``total`` is at least the number of classes, and at most the sum of ``most``.
    """
    exact = [total * count / sum(counts) for count in counts]
    found = [min(max(1, int(share)), limit) for share, limit in zip(exact, most, strict=True)]
    while missing := total - sum(found):
        step = 1 if missing > 0 else -1
        free = [i for i, number in enumerate(found) if (number < most[i] if step > 0 else number > 1)]
        found[max(free, key=lambda i: step * (exact[i] - found[i]))] += step
    return found

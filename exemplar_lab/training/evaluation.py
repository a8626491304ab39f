"""A model against exact truth, beside the rows of `references`, so that its numbers can be read."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.correspondence import Correspondence
from exemplar_lab.metrics.appearance import l1, masked_ssim, psnr
from exemplar_lab.metrics.layers import layer_scores
from exemplar_lab.metrics.matching import evaluate_matching, oracle_scores
from exemplar_lab.metrics.tables import Rows, summarise
from exemplar_lab.metrics.transfer import class_oracle, expected_transfer, transfer_matrix, transfer_summary
from exemplar_lab.training.references import SEED, part_labels, reference_matches
from exemplar_lab.translation import Batch, Source, Translation, Translator

Answer = Callable[[Batch], Translation | Correspondence]
"""What can be measured: any function of a batch that says where the look of every position comes from."""

PerImage = dict[str, dict[str, Tensor]]


class Asked(NamedTuple):
    """One batch with what was answered to it.

    numbers: of the samples. references: on each of the grids that answers have, `reference_matches`, by what is added to the
    names of their rows: nothing, or " 16 × 16" where there are several grids.
    """

    numbers: Int[Tensor, " b"]
    batch: Batch
    given: dict[str, Translation | Correspondence]
    references: dict[str, dict[str, Correspondence]]


def translate(model: Translator, exemplar_condition: bool = True) -> Answer:
    """A model as `score` wants it. exemplar_condition: False withholds it, as App. E of [CoCosNet] does after its warm-up."""

    def answer(batch: Batch) -> Translation:
        return model(batch.condition, batch.exemplar, batch.exemplar_condition if exemplar_condition else None)

    return answer


@torch.inference_mode()
def score(
    answers: dict[str, Answer],
    source: Source,
    indices: Int[Tensor, " n"],
    device: torch.device | str = "cpu",
    references: bool = True,
    grid: tuple[int, int] | None = None,
    transfer: Float[Tensor, "c c"] | None = None,
    batch_size: int = 16,
    progress: Callable[[Iterable], Iterator] = iter,
) -> PerImage:
    """{row: {number: one value per image}} over the samples `indices` of `source`: any matchers, on the very same pairs.

    answers: name of the row -> function of a batch that gives a `Translation`, of which the last match is measured, or a match.
    Rows: those of `answers`; with `references` also "oracle", the best that can be said on the grids of the match, "copy",
    every position looks at itself, "nearest label", at the nearest of its own part (where truth has parts), and "random",
    everywhere at random. Answers on different grids get references each, named "oracle 16 × 16". grid: that of the references
    where nobody answers; by default half the side of the images.
    Numbers: those of `evaluate_matching`, and of a Translation image_l1, image_psnr, image_ssim of the generated image against
    the target, and warp_image_… of its last warp, whole images, meant for paired samples.
    transfer: the true transfer matrix of the classes in `truth.target_part`; adds two matrices per image, "transfer" and
        "expected_transfer", of which `sum_up` makes transfer_rank and cophenetic.
    progress: wraps the list of batches, for example `tqdm`.
    """
    rows: dict[str, list[dict[str, Tensor]]] = {}
    for asked in ask(answers, source, indices, device, references, grid, batch_size, progress):
        for name, scores in matching_scores(asked, transfer).items():
            rows.setdefault(name, []).append(scores)
    return joined(rows)


@torch.inference_mode()
def ask(
    answers: dict[str, Answer],
    source: Source,
    indices: Int[Tensor, " n"],
    device: torch.device | str = "cpu",
    references: bool = True,
    grid: tuple[int, int] | None = None,
    batch_size: int = 16,
    progress: Callable[[Iterable], Iterator] = iter,
) -> Iterator[Asked]:
    """Each answer once for each batch, so that all that is measured is measured of the same answer; see `score`."""
    for chosen in progress(indices.split(batch_size)):
        batch = source.batch(chosen, device=device)
        given = {name: answer(batch) for name, answer in answers.items()}
        yield Asked(chosen, batch, given, _references_of(given, batch, grid, SEED + int(chosen[0])) if references else {})


def last_match(given: Translation | Correspondence) -> Correspondence:
    """What is measured of an answer: the match itself, or the finest of a translation. Raises ValueError where none is."""
    if isinstance(given, Translation) and not given.matches:
        raise ValueError(
            "got a translation without a match, expected at least one: a model that matches nothing (without-mat) has image "
            "numbers alone, see training.image_evaluation.measure_images"
        )
    return given.matches[-1] if isinstance(given, Translation) else given


@torch.inference_mode()
def matching_scores(asked: Asked, transfer: Float[Tensor, "c c"] | None = None) -> dict[str, dict[str, Tensor]]:
    """{row: {number: one value per image}} of one batch; see `score`."""
    batch, rows = asked.batch, {}
    for name, given in asked.given.items():
        rows[name] = _match_scores(last_match(given), batch, transfer)
        rows[name] |= image_scores(given, batch) if isinstance(given, Translation) else {}
    for words, matches in asked.references.items():
        copy = matches["copy"]
        rows["oracle" + words] = _oracle_scores(batch, copy.query_size, copy.key_size, transfer)
        rows |= {name + words: _match_scores(match, batch, transfer) for name, match in matches.items()}
    return rows


def _references_of(
    given: dict[str, Translation | Correspondence], batch: Batch, grid: tuple[int, int] | None, seed: int
) -> dict[str, dict[str, Correspondence]]:
    """{words after the names of the rows: matches} on every pair of grids that was answered on."""
    half = grid or tuple(side // 2 for side in batch.target.shape[-2:])
    matches = [last_match(one) for one in given.values()]
    grids = list(dict.fromkeys((one.query_size, one.key_size) for one in matches)) or [(half, half)]
    words = [" {} × {}".format(*query_size) for query_size, _ in grids] if len(grids) > 1 else [""]
    return {word: reference_matches(batch, *sizes, seed) for word, sizes in zip(words, grids, strict=True)}


def joined(rows: dict[str, list[dict[str, Tensor]]]) -> PerImage:
    """The batches of each row end to end."""
    return {row: {number: torch.cat([b[number] for b in batches]) for number in batches[0]} for row, batches in rows.items()}


def measure(
    model: Translator,
    source: Source,
    pairs: int = 256,
    name: str = "model",
    device: torch.device | str = "cpu",
    references: bool = True,
    exemplar_condition: bool = True,
    transfer: Float[Tensor, "c c"] | None = None,
    batch_size: int = 16,
    progress: Callable[[Any], Iterator] = iter,
) -> PerImage:
    """`score` of one model over the first `pairs` samples of `source`, in a row of its `name`."""
    if pairs < 1:
        raise ValueError(f"got {pairs} pairs to measure, expected at least 1")
    answers = {name: translate(model, exemplar_condition)}
    indices = torch.arange(min(pairs, source.length or pairs))
    return score(answers, source, indices, device, references, None, transfer, batch_size, progress)


@torch.inference_mode()
def measure_layers(
    model: Translator,
    source: Source,
    pairs: int = 256,
    device: torch.device | str = "cpu",
    batch_size: int = 16,
    progress: Callable[[Any], Iterator] = iter,
) -> PerImage:
    """{"8 × 8, block 1": {number: one value per image}}: `layer_scores` of every match of a model, coarse to fine.

    A last row "output" has the numbers of the image and of the last warp at its size, as in `score`.
    """
    found: dict[str, list[dict[str, Tensor]]] = {}
    for chosen in progress(torch.arange(min(pairs, source.length or pairs)).split(batch_size)):
        batch = source.batch(chosen, device=device)
        translation = model(batch.condition, batch.exemplar, batch.exemplar_condition)
        names = [*layer_names(translation.matches), "output"]
        rows = [*layer_scores(translation.matches, batch), image_scores(translation, batch)]
        for name, scores in zip(names, rows, strict=True):
            found.setdefault(name, []).append(scores)
    return joined(found)


def layer_names(matches: Sequence[Correspondence]) -> list[str]:
    """ "16 × 16, block 2": the grid, and which of its blocks."""
    counted: dict[tuple[int, int], int] = {}
    names = []
    for match in matches:
        counted[match.query_size] = counted.get(match.query_size, 0) + 1
        names.append("{} × {}, block {}".format(*match.query_size, counted[match.query_size]))
    return names


def sum_up(measured: PerImage, group: Int[Tensor, " n"] | None = None) -> Rows:
    """{row: {number: {"mean", "half_width"}}} over all images of each row; `metrics.tables.table` prints it.

    group: which images are one pair, seen several times; see `summarise`.
    """
    rows = {}
    for row, numbers in measured.items():
        rows[row] = summarise([{name: value for name, value in numbers.items() if value.dim() == 1}], group=group)
        if "transfer" in numbers:
            rows[row] |= transfer_summary(numbers["transfer"], numbers["expected_transfer"], group=group)
    return rows


def _oracle_scores(
    batch: Batch, query_size: tuple[int, int], key_size: tuple[int, int], transfer: Tensor | None
) -> dict[str, Tensor]:
    scores = oracle_scores(batch, query_size, key_size)
    if transfer is not None:
        match = class_oracle(transfer.to(batch.target.device), *part_labels(batch, query_size, key_size, len(transfer)))
        scores |= _transfer_scores(match, batch, transfer)
    return scores


def _match_scores(match: Correspondence, batch: Batch, transfer: Tensor | None) -> dict[str, Tensor]:
    return evaluate_matching(match, batch) | ({} if transfer is None else _transfer_scores(match, batch, transfer))


def _transfer_scores(match: Correspondence, batch: Batch, transfer: Tensor) -> dict[str, Tensor]:
    labels = part_labels(batch, match.query_size, match.key_size, len(transfer))
    expected = expected_transfer(transfer, *labels)
    return {"transfer": transfer_matrix(match, *labels, len(transfer)), "expected_transfer": expected}


def image_scores(translation: Translation, batch: Batch) -> dict[str, Tensor]:
    """image_…: the output; warp_image_…: the last warp at the size of the image (DynaST Table 1); against the whole target."""
    everywhere = torch.ones_like(batch.target[:, 0], dtype=torch.bool)
    images = {"image": translation.image}
    for warp in translation.warps[-1:]:
        images["warp_image"] = F.interpolate(warp, batch.target.shape[-2:], mode="bilinear", align_corners=False)
    return {
        f"{name}_{measure}": function(image, batch.target, everywhere)
        for name, image in images.items()
        for measure, function in (("l1", l1), ("psnr", psnr), ("ssim", masked_ssim))
    }

"""The printed tables: all eleven, some numbers read off the page again; what is computed from them, by plain loops."""

import math
from itertools import combinations, permutations

import pytest
import torch
from PIL import Image

from exemplar_lab.data.files import through_file
from exemplar_lab.papers import PAPERS
from exemplar_lab.published.comparison import best_cells, order_changes, shared_cells
from exemplar_lab.published.results import (
    COLUMNS,
    last_digit,
    published_architecture,
    published_results,
    published_tables,
    reproductions,
    source,
)

RESULTS = published_results()

COUNTS = {
    ("CoCosNet", "Tab1"): 42, ("CoCosNet", "Tab2"): 21, ("CoCosNet", "Tab3"): 24, ("CoCosNet", "Tab4"): 24,
    ("MSCA", "Tab1"): 96, ("MSCA", "Tab2"): 3, ("DynaST", "Tab1"): 88, ("DynaST", "Tab2"): 44,
    ("MATEBIT", "Tab1"): 96, ("MATEBIT", "Tab2"): 50,
}  # fmt: skip

SPOTS = [
    # Zhang et al. 2020, Table 1: row Ours, ADE20k FID; row MUNIT, ADE20k-outdoor SWD
    ("CoCosNet", "Tab1", "ADE20k", "CoCosNet", "FID", "26.4"),
    ("CoCosNet", "Tab1", "ADE20k-outdoor", "MUNIT", "SWD", "126.3"),
    # Table 2: row SIMS has one number; Table 3: row EGSC-IT, DeepFashion texture
    ("CoCosNet", "Tab2", "ADE20k-outdoor", "SIMS", "Sem", "0.822"),
    ("CoCosNet", "Tab3", "DeepFashion", "EGSC-IT", "Tex", "0.916"),
    # Table 4: row w/o L_perc, "0.971 / 0.852"
    ("CoCosNet", "Tab4", "CelebA-HQ", "CoCosNet −perc", "Col", "0.971"),
    ("CoCosNet", "Tab4", "CelebA-HQ", "CoCosNet −perc", "Tex", "0.852"),
    # Zheng et al. 2020, Table 1: first line of the task retrieving; last line of duplicating; Table 2
    ("MSCA", "Tab1", "COCO-stuff:retrieving", "cI2I", "PSNR", "9.50"),
    ("MSCA", "Tab1", "COCO-stuff:retrieving", "MSCA −attention", "L_style", "7.10e-3"),
    ("MSCA", "Tab1", "COCO-stuff:duplicating", "MSCA", "L_style", "3.97e-4"),
    ("MSCA", "Tab2", "COCO-stuff", "MSCA GAP", "user choice", "29.3"),
    # Liu et al. 2022, Table 1: rows UNITE, Ours-64, Ours; Table 2: row Ours
    ("DynaST", "Tab1", "DeepFashion", "UNITE", "SSIM", "13.2"),
    ("DynaST", "Tab1", "DeepFashion", "DynaST-64", "FID", "8.50"),
    ("DynaST", "Tab1", "DeepFashion", "DynaST", "L1", "0.054"),
    ("DynaST", "Tab1", "DeepFashion", "DynaST −pruning", "SWD", "21.8"),
    ("DynaST", "Tab2", "CelebA-HQ", "DynaST", "Col", "0.980"),
    # Jiang et al. 2023, Table 1: rows SPADE, DynaST, MATEBIT; Table 2: rows w/o MAT (→ Full Corr.), Full Model
    ("MATEBIT", "Tab1", "Ukiyo-e", "SPADE", "FID", "45.6"),
    ("MATEBIT", "Tab1", "CelebA-HQ", "DynaST", "Col", "0.978"),
    ("MATEBIT", "Tab1", "AAHQ", "MATEBIT", "SWD", "19.5"),
    ("MATEBIT", "Tab2", "MetFaces", "MATEBIT full correlation", "FID", "34.1"),
    ("MATEBIT", "Tab2", "MetFaces", "MATEBIT", "Tex", "0.938"),
]


def row(paper, table, dataset, method, metric):
    names = zip(COLUMNS, (paper, table, dataset, method, metric), strict=False)
    chosen = RESULTS
    for name, value in names:
        chosen = chosen[chosen[name] == value]
    assert len(chosen) == 1
    return chosen.iloc[0]


def test_all_eleven_tables_are_there():
    tables = published_tables()
    assert len(tables) == 11 and list(RESULTS.columns) == list(COLUMNS)
    assert {(t.paper, t.table): t.numbers for t in tables.itertuples() if t.kind == "results"} == COUNTS
    assert [(t.paper, t.table) for t in tables.itertuples() if t.kind == "architecture"] == [("CoCosNet", "Tab5")]
    assert set(tables["paper"]) == {paper.key for paper in PAPERS.values()}
    assert len(RESULTS) == sum(COUNTS.values()) == 488
    assert not RESULTS.duplicated(["paper", "table", "dataset", "method", "metric"]).any()


@pytest.mark.parametrize("spot", SPOTS, ids=lambda spot: " ".join(spot[:5]))
def test_a_number_read_off_the_page_again(spot):
    *where, printed = spot
    assert row(*where)["printed"] == printed
    assert row(*where)["value"] == float(printed)


def test_times_are_in_seconds():
    """DynaST Table 1 prints hundredths (9.63, 21.7), MATEBIT Table 1 seconds (0.214, 1.573)."""
    times = RESULTS[RESULTS["metric"] == "time"]
    found = {(t.paper, t.method): (t.value, t.printed) for t in times.itertuples()}
    assert found["DynaST", "DynaST"] == (pytest.approx(0.0963), "9.63")
    assert found["DynaST", "CoCosNet-v2"] == (pytest.approx(0.217), "21.7")
    assert found["MATEBIT", "CoCosNet-v2"] == (1.573, "1.573")
    assert row("DynaST", "Tab1", "DeepFashion", "DynaST", "time")["step"] == pytest.approx(1e-4)


def test_what_is_printed_falsely_is_kept_and_marked():
    misprints = RESULTS[RESULTS["misprint"]]
    assert [(m.paper, m.method, m.metric, m.printed) for m in misprints.itertuples()] == [
        ("DynaST", "UNITE", metric, printed)
        for metric, printed in (("L1", "13.1"), ("PSNR", "16.7"), ("SSIM", "13.2"), ("time", "14.9"))
    ]
    doubtful = RESULTS[RESULTS["doubtful"]]
    assert {(d.paper, d.method) for d in doubtful.itertuples()} == {("DynaST", "UNITE"), ("MATEBIT", "SPADE")}
    assert len(doubtful) == 8 and not (RESULTS["misprint"] & RESULTS["doubtful"]).any()
    # Whatever is left is possible: similarities and errors of images in [0, 1] do not exceed 1.
    bounded = RESULTS[RESULTS["metric"].isin(["Sem", "Col", "Tex", "SSIM", "L1"])]
    assert set(bounded.loc[bounded["value"] > 1, "misprint"]) == {True}


def test_the_ablation_without_a_data_set_is_one_of_celeba():
    """Table 4 of CoCosNet names none; all four numbers of its full model are those of Tables 1 to 3."""
    for metric, table in (("FID", "Tab1"), ("Sem", "Tab2"), ("Col", "Tab3"), ("Tex", "Tab3")):
        full = row("CoCosNet", "Tab4", "CelebA-HQ", "CoCosNet", metric)["printed"]
        assert full == row("CoCosNet", table, "CelebA-HQ", "CoCosNet", metric)["printed"]


def test_ablations_are_told_from_methods():
    """CoCosNet-v2 is no ablation of CoCosNet; MSCA calls its GAP one (Sec. 4, Ablation Study)."""
    ablations = set(RESULTS.loc[RESULTS["ablation"], "method"])
    assert {"DynaST-32", "DynaST −inner", "MSCA GAP", "CoCosNet −reg", "MATEBIT −z"} <= ablations
    assert not {"CoCosNet-v2", "CoCosNet", "SPADE-VAE", "DynaST"} & ablations
    assert len(ablations) == 5 + 5 + 9 + 4


def test_every_metric_has_one_direction():
    assert (RESULTS.groupby("metric")["better"].nunique() == 1).all()


@pytest.mark.parametrize("printed, worth", [("8.36", 0.01), ("14.4", 0.1), ("7.10e-3", 1e-5), ("55", 1.0), ("0.800", 1e-3)])
def test_worth_of_the_last_digit(printed, worth):
    assert last_digit(printed) == pytest.approx(worth)


def test_source_says_what_was_changed_and_why():
    told = source()
    assert all(one.keys() >= {"what", "was", "now", "why"} for one in told["corrections"])
    assert "488 of 488" in told["transcribed"] and len(told["tables"]) == 11


def test_architecture_and_reproductions():
    layers = published_architecture()
    assert len(layers) == 17 and layers.iloc[0]["output"] == "256×256×64"
    again = reproductions()
    assert {where.split("/issues/")[0] for where in again["where"]} == {
        "https://github.com/microsoft/CoCosNet", "https://github.com/fnzhan/UNITE",
    }  # fmt: skip
    for one in again.itertuples():
        assert one.printed == row(one.paper, "Tab1", one.dataset, one.method, one.metric)["value"]


def plain(results):
    """The rows as plain tuples, without misprints, times on one data set."""
    for r in results.itertuples():
        if not r.misprint:
            dataset = "one image" if r.metric == "time" else r.dataset
            yield r.paper, r.table, dataset, r.method, r.metric, r.value, r.step, r.better


def test_shared_cells_by_plain_loops():
    expected = {}
    for a, b in combinations(plain(RESULTS), 2):
        if a[2:5] == b[2:5]:
            gap = abs(a[5] - b[5])
            verdict = "same" if math.isclose(a[5], b[5]) else "rounding" if gap <= (a[6] + b[6]) / 2 + 1e-9 else "differs"
            relative = gap / ((a[5] + b[5]) / 2)
            key = (a[3], a[2], a[4], f"{a[0]} {a[1]}", f"{b[0]} {b[1]}")
            expected[key] = (relative, max(a[5], b[5]) / min(a[5], b[5]), verdict, len({a[0], b[0]}))
    found = {
        (s.method, s.dataset, s.metric, s.one, s.other): (s.relative, s.factor, s.verdict, s.papers)
        for s in shared_cells(RESULTS).itertuples()
    }
    assert found.keys() == expected.keys()
    for key, (relative, factor, verdict, papers) in expected.items():
        assert found[key] == (pytest.approx(relative), pytest.approx(factor), verdict, papers)


def test_which_numbers_two_papers_print_differently():
    """Read off the pages: all other shared numbers are the same, to the digit or to its rounding."""
    shared = shared_cells(RESULTS).set_index(["method", "metric"])
    differ = shared[shared["verdict"] == "differs"]
    assert sorted(differ.index) == [("CoCosNet", "time"), ("CoCosNet-v2", "time"), ("DynaST", "Col"), ("DynaST", "time")]
    assert differ.loc[("CoCosNet-v2", "time"), "factor"] == pytest.approx(1.573 / 0.217)
    rounding = shared[shared["verdict"] == "rounding"]
    assert list(rounding.index) == [("DynaST", "FID")] and rounding["of_one"].iloc[0] == 8.36


@pytest.mark.parametrize("across", ["paper", "dataset", "metric"])
def test_order_changes_by_plain_loops(across):
    place = {"paper": 0, "dataset": 2, "metric": 4}[across]
    table = {}
    for one in plain(RESULTS):
        worth = one[5] if one[7] == "lower" else -one[5]
        table.setdefault((one[0], one[2], one[4], one[3]), round(worth, 9))
    expected = {}
    methods = sorted({key[3] for key in table})
    contexts = list(dict.fromkeys(key[:3] for key in table))
    at = {0: 0, 2: 1, 4: 2}[place]
    for one, other in permutations(contexts, 2):
        if one[at] < other[at] and all(one[i] == other[i] for i in range(3) if i != at):
            for a, b in combinations(methods, 2):
                values = [table.get((*context, method)) for context in (one, other) for method in (a, b)]
                if None not in values:
                    signs = [math.copysign(1, x - y) if x != y else 0 for x, y in (values[:2], values[2:])]
                    turned = None if 0 in signs else signs[0] != signs[1]
                    same = tuple(one[i] for i in (1, 2) if i != at) if across != "paper" else one[1:]
                    expected.setdefault((*same, a, b, one[at], other[at]), turned)
    changes = order_changes(RESULTS, across)
    same = [name for name in ("dataset", "metric") if name != across]
    found = {
        (*(r[name] for name in same), r["method"], r["against"], r["one"], r["other"]): r["turned"]
        for r in changes.to_dict("records")
    }
    assert found == expected
    assert any(turned for turned in found.values()) == (across != "paper")


def test_order_changes_refuses_another_column():
    with pytest.raises(ValueError, match="got across='table', expected 'paper'"):
        order_changes(RESULTS, "table")


def test_best_cells():
    """CoCosNet Table 4 by eye: the full model is best in FID, Sem and Tex; without the domain loss, colour is better."""
    best = best_cells(RESULTS).set_index(["paper", "table"])
    assert tuple(best.loc[("CoCosNet", "Tab4"), ["columns", "best"]]) == (4, 3)
    assert best.loc[("CoCosNet", "Tab4"), "elsewhere"] == "CelebA-HQ Col: CoCosNet −domain"
    assert tuple(best.loc[("MSCA", "Tab1"), ["columns", "best"]]) == (12, 12)
    assert tuple(best.loc[("DynaST", "Tab2"), ["columns", "best"]]) == (6, 4)  # a tie with UNITE counts


def test_a_png_rounds_and_a_jpeg_changes(tmp_path):
    generator = torch.Generator().manual_seed(0)
    smooth = torch.nn.functional.interpolate(torch.rand(2, 3, 4, 4, generator=generator), (32, 48), mode="bilinear")
    kept = through_file(smooth, "png")
    assert (kept - smooth).abs().max() <= 0.5 / 255 + 1e-6
    assert torch.equal(through_file(kept, "png"), kept)
    errors = [float((through_file(kept, "jpeg", quality) - kept).abs().mean()) for quality in (95, 75, 25, 5)]
    assert 0 < errors[0] < errors[1] < errors[2] < errors[3]
    picture = (kept[0].movedim(0, -1) * 255).round().byte().numpy()
    Image.fromarray(picture).save(tmp_path / "kept.jpg", quality=75)
    with Image.open(tmp_path / "kept.jpg") as file:
        again = torch.tensor(list(file.get_flattened_data() if hasattr(file, "get_flattened_data") else file.getdata()))
    assert torch.equal((through_file(kept[:1], "jpeg")[0].movedim(0, -1) * 255).round().long().reshape(-1, 3), again)


@pytest.mark.parametrize(
    "kind, quality, message",
    [("gif", 75, "got files of kind 'gif', expected 'png' or 'jpeg'"), ("jpeg", 0, "got a quality of 0, expected 1 … 95")],
)
def test_a_file_of_another_kind_is_refused(kind, quality, message):
    with pytest.raises(ValueError, match=message):
        through_file(torch.rand(1, 3, 8, 8), kind, quality)

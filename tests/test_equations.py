"""Equations are found where the docstrings say, and a citation that nobody could follow is refused."""

import pytest

from exemplar_lab.equations import Equation, find_equation, find_equations, find_paper


@pytest.fixture
def package(tmp_path):
    (tmp_path / "made" / "ops").mkdir(parents=True)

    def with_source(source: str):
        (tmp_path / "made" / "ops" / "one.py").write_text(source, encoding="utf-8")
        return tmp_path / "made"

    return with_source


def test_functions_classes_and_modules_are_found_with_their_lines(package):
    made = package('''"""Eq. (7) of [MSCA]: a module."""


def score():
    """Eq. (3), (4) of [CoCosNet] and Eq. (1) of [MATEBIT]: a cosine
    over two lines.

    Not the summary.
    """


class Layer:
    def forward(self):
        """Eq. (2) of [DynaST]."""

    def other(self):
        """Follows Eq. (9) of [CoCosNet], and is not its home."""
''')
    path = made / "ops" / "one.py"
    summary = "Eq. (3), (4) of [CoCosNet] and Eq. (1) of [MATEBIT]: a cosine over two lines."
    assert find_equations(made) == [
        Equation("cocosnet", 3, "made.ops.one.score", path, 4, summary),
        Equation("cocosnet", 4, "made.ops.one.score", path, 4, summary),
        Equation("dynast", 2, "made.ops.one.Layer.forward", path, 13, "Eq. (2) of [DynaST]."),
        Equation("matebit", 1, "made.ops.one.score", path, 4, summary),
        Equation("msca", 7, "made.ops.one", path, 1, "Eq. (7) of [MSCA]: a module."),
    ]


@pytest.mark.parametrize(
    ("docstring", "complaint"),
    [
        ("Eq. 4 of [CoCosNet]: no brackets", "expected a beginning like"),
        ("Eqs. (1), (2) of [CoCosNet]: plural", "expected a beginning like"),
        ("Equation (4) of [CoCosNet]: in full", "expected a beginning like"),
        ("Eq. (4) of CoCosNet: no key", "expected a beginning like"),
        ("Eq. (4) of [CocosNet]: misspelt", "expected one of CoCosNet"),
        ("Eq. (15) of [CoCosNet]: too many", "expected 1 to 14"),
    ],
)
def test_a_citation_nobody_can_follow_is_refused(package, docstring, complaint):
    with pytest.raises(ValueError, match=r"one\.py:1: got") as refusal:
        find_equations(package(f'def score():\n    """{docstring}"""\n'))
    assert complaint in str(refusal.value)


def test_one_equation_of_this_package():
    here = find_equation("CoCosNet", 4)
    assert here.paper == "cocosnet" and here.number == 4
    assert here.path.read_text(encoding="utf-8").splitlines()[here.line - 1].split()[0] in ("def", "class")


@pytest.mark.parametrize("number", [0, 15])
def test_a_number_the_paper_does_not_have(number):
    with pytest.raises(ValueError, match=rf"got equation \({number}\), expected 1 to 14"):
        find_equation("cocosnet", number)


def test_an_equation_that_is_not_implemented(monkeypatch):
    monkeypatch.setattr("exemplar_lab.equations.find_equations", list)
    with pytest.raises(ValueError, match=r"Eq\. \(4\) of \[CoCosNet\] is not implemented; implemented are none so far"):
        find_equation("cocosnet", 4)


def test_an_unknown_paper():
    with pytest.raises(ValueError, match="expected one of cocosnet, dynast, matebit, msca. Did you mean cocosnet?"):
        find_paper("cocosent")

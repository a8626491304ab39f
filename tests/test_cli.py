"""The command line: what it prints, and with which exit code it ends."""

import subprocess
import sys

import pytest

from exemplar_lab import cli
from exemplar_lab.cli import Command, main
from exemplar_lab.commands.notebooks import _name_and_value
from exemplar_lab.equations import find_equation


def test_help_loads_no_torch():
    code = "import sys; from exemplar_lab.cli import main\ntry: main(['--help'])\nfinally: assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in cli.COMMANDS)


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    assert cli.COMMANDS[command].run.__doc__.splitlines()[0] in capsys.readouterr().out.replace("\n", " ")


def test_no_command_shows_the_help(capsys):
    assert main([]) == 0
    assert "COMMAND" in capsys.readouterr().out


def test_python_dash_m():
    done = subprocess.run([sys.executable, "-m", "exemplar_lab", "--version"], capture_output=True, text=True)
    assert done.stdout.startswith("exemplar-lab 0.")


def test_equation_prints_file_and_line(capsys, monkeypatch):
    here = find_equation("cocosnet", 4)
    monkeypatch.chdir(here.path.parents[2])
    assert main(["equation", "cocosnet", "4"]) == 0
    where, summary = capsys.readouterr().out.splitlines()
    assert where == f"{here.path.relative_to(here.path.parents[2])}:{here.line}  {here.name}"
    assert summary.startswith("Eq. (4) of [CoCosNet]")


def test_equations_of_a_paper_with_the_gaps_named(capsys, monkeypatch):
    some = [find_equation("cocosnet", number) for number in (3, 4)]
    monkeypatch.setattr("exemplar_lab.equations.find_equations", lambda: some)
    assert main(["equation", "cocosnet"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "2 of 14 equations"
    assert lines[2].startswith("  (3)  ") and lines[3].startswith("  (4)  ")
    assert lines[4] == "not implemented: " + ", ".join(f"({n})" for n in range(1, 15) if n not in (3, 4))


def test_papers_are_listed(capsys):
    assert main(["papers"]) == 0
    out = capsys.readouterr().out
    assert "Zhang, Zhang, Chen, Yuan, Wen (2020)" in out and "https://arxiv.org/abs/2004.10024" in out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (
            ["equation", "cocosent", "4"],
            "got the paper 'cocosent', expected one of cocosnet, dynast, matebit, msca. Did you mean",
        ),
        (["equation", "cocosnet", "15"], "got equation (15), expected 1 to 14"),
        (["run", "nowhere.ipynb"], "got nowhere.ipynb, which is no file, expected a notebook (.ipynb)"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(argv, message, capsys):
    assert main(argv) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"exemplar-lab: {message}") and err.count("\n") == 1


def test_debug_shows_the_traceback(capsys):
    assert main(["equation", "cocosnet", "15", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_an_argument_without_a_value(capsys):
    with pytest.raises(SystemExit) as end:
        main(["run", "some.ipynb", "-p", "seed"])
    assert end.value.code == 2
    assert "got 'seed', expected NAME=VALUE" in capsys.readouterr().err


@pytest.fixture
def command(monkeypatch):
    """Puts a command `probe` into the table, which does what the test wants."""

    def probe(action):
        def run(given):
            """Do what the test wants, 100 % of it."""
            return action()

        monkeypatch.setitem(cli.COMMANDS, "probe", Command(run, lambda parser: None))
        return main(["probe"])

    return probe


def test_interrupt(command, capsys):
    def interrupted():
        raise KeyboardInterrupt

    assert command(interrupted) == 130
    assert "the same command goes on from the last checkpoint" in capsys.readouterr().err


def test_a_reader_that_has_enough_is_no_error():
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {sys.executable} -m exemplar_lab papers | true"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_fault_of_ours_keeps_its_traceback(command):
    def fault():
        raise KeyError("surprise")

    with pytest.raises(KeyError):
        command(fault)


def test_a_command_gives_its_own_exit_code(command):
    assert command(lambda: 1) == 1


def test_values_are_read_as_python_reads_them():
    texts = {"a=3": 3, "a=1e-3": 0.001, "a=cpu": "cpu", "a=true": True, "a=None": None, "a=x=y": "x=y", "a='3'": "3", "a=": ""}
    assert {text: _name_and_value(text)[1] for text in texts} == texts

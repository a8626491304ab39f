"""The memory of decoded images: what is kept, what is forgotten, and that it never exceeds its bound."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from exemplar_lab.data import memory
from exemplar_lab.data.memory import held, remembered


@pytest.fixture(autouse=True)
def ten_kilobytes(monkeypatch):
    memory.forget()
    monkeypatch.setattr(memory, "MOST", 10_000)
    yield
    memory.forget()


def asked(key, size: int = 1000):
    """Whether `key` had to be made."""
    made = []
    found = remembered(key, lambda: made.append(key) or (torch.zeros(size, dtype=torch.uint8), None))
    assert found[0].numel() == size and found[1] is None
    return bool(made)


def test_what_was_not_asked_for_longest_is_forgotten_first():
    assert all(asked(key) for key in range(10)) and held() == 10_000
    assert not any(asked(key) for key in range(10))
    assert not asked(0) and asked(10) and not asked(0) and asked(1) and not asked(10)


def test_the_bound_holds_at_every_moment():
    sizes = torch.randint(1, 4000, (300,), generator=torch.Generator().manual_seed(0)).tolist()
    for key in range(len(sizes)):
        asked(key % 40, sizes[key % 40])
        kept = sum(one.nbytes for tensors in memory._kept.values() for one in tensors if one is not None)
        assert held() == kept <= 10_000
    assert held() > 6_000


def test_what_is_larger_than_the_memory_is_made_each_time():
    assert asked("small") and asked("large", 10_001) and asked("large", 10_001) and held() == 1000 and not asked("small")
    assert asked("just", 10_000) and not asked("just", 10_000)


def test_threads_share_it():
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: asked(key % 7), range(400)))
        assert held() == 7_000 and not any(pool.map(asked, range(7)))
        list(pool.map(asked, range(400)))
    assert held() == 10_000


def test_what_two_make_at_once_is_kept_and_counted_once():
    def made_meanwhile():
        asked("key")
        return torch.zeros(1000, dtype=torch.uint8), None

    remembered("key", made_meanwhile)
    assert held() == 1000 and not asked("key")


def test_a_failure_is_not_remembered():
    with pytest.raises(ValueError, match="broken"):
        remembered("key", lambda: (_ for _ in ()).throw(ValueError("broken")))
    assert held() == 0 and asked("key")

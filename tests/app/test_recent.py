"""What is kept of earlier runs: bounded in number and in bytes, the least recently used let go
first.
"""

import random
import threading

import numpy as np
import pytest

import vlm
from app.recent import VARIABLE, Budget, Recent, allowed
from app.server import Server
from app.settings import Settings
from tests.app.asking import run, server
from tests.tiny import photo


def of(size: int) -> np.ndarray:
    """An array of so many bytes."""
    return np.zeros(size, np.uint8)


def test_only_the_last_few_values_are_kept():
    recent, made = Recent(Budget(10**9), size=2), []
    for key in (1, 2, 1, 3, 1, 2):
        recent.get(key, lambda key=key: made.append(key))
    assert made == [1, 2, 3, 2]


def test_what_was_used_least_recently_goes_first_whichever_cache_it_is_in():
    budget = Budget(300)
    one, other = Recent(budget), Recent(budget)
    one.get("a", lambda: of(100)), other.get("b", lambda: of(100)), one.get("c", lambda: of(100))
    assert one.known("a") is not None  # used now
    other.get("d", lambda: of(100))
    assert (
        other.known("b") is None
        and one.known("a") is not None
        and one.known("c") is not None
        and budget.held == 300
    )
    one.get("e", lambda: of(250))
    assert budget.held == 250 and [len(one), len(other)] == [1, 0]


def test_what_two_values_share_is_held_once():
    budget, shared = Budget(300), of(200)
    one, other = Recent(budget), Recent(budget)
    one.get("photo", lambda: shared), other.get("answer", lambda: (shared, of(50)))
    assert budget.held == 250 and len(one) == len(other) == 1
    one.clear()
    assert budget.held == 250  # the answer holds it still
    other.clear()
    assert budget.held == 0


def test_a_value_larger_than_the_budget_is_used_and_not_kept():
    budget = Budget(300)
    recent = Recent(budget)
    recent.get("small", lambda: of(10))
    assert len(recent.get("large", lambda: of(301))) == 301
    assert recent.known("large") is None and recent.known("small") is not None and budget.held == 10


def test_values_made_together_are_kept_within_the_budget():
    budget, asked = Budget(100), []
    recent = Recent(budget)

    def make(keys):
        return [asked.append(key) or of(40) for key in keys]

    assert [len(value) for value in recent.many([1, 2, 3, 1], make)] == [40] * 4
    assert asked == [1, 2, 3] and budget.held == 80
    recent.many([1, 3], make)
    assert asked == [1, 2, 3] and recent.known(2) is None


def test_whatever_many_threads_do_the_bytes_are_those_of_what_is_left():
    budget, shared = Budget(1000), [of(size) for size in range(10, 200, 10)]
    caches = [Recent(budget, size=20) for _ in range(3)]

    def use(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(300):
            cache, key = chance.choice(caches), chance.randrange(40)
            cache.get(key, lambda: tuple(chance.sample(shared, chance.randrange(4))))
            if chance.random() < 0.05:
                cache.clear(lambda key: key % 2 == 0)

    threads = [threading.Thread(target=use, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    left = [kept.value for cache in caches for kept in cache._values.values()]
    assert budget.held == sum(vlm.storages(left).values()) <= 1000
    for cache in caches:
        cache.clear()
    assert budget.held == 0 and not budget._holders


@pytest.mark.parametrize(
    ("said", "bytes_"),
    [("", 2_000_000_000), ("0", 0), ("0.5", 500_000_000), ("12", 12_000_000_000)],
)
def test_the_operator_says_how_much_is_kept(monkeypatch, said, bytes_):
    monkeypatch.setenv(VARIABLE, said)
    assert allowed(Settings.read()) == bytes_


@pytest.mark.parametrize("said", ["much", "-1", "nan", "inf", "2 GB"])
def test_an_amount_that_is_none_is_refused_in_one_sentence(monkeypatch, said):
    monkeypatch.setenv(VARIABLE, said)
    with pytest.raises(vlm.VLMError, match=VARIABLE):
        allowed(Settings.read())


def test_the_page_has_three_caches_of_one_budget_and_a_second_page_has_its_own():
    one, other = Server(Settings()), Server(Settings())
    # what a model's job holds is not known when it is begun: those are counted, not weighed
    assert len(one.budget._caches) == 3 and one.budget is not other.budget
    one.contrasts.get("key", lambda: of(10))
    assert one.budget.held == 10 and other.budget.held == 0
    assert other.contrasts.known("key") is None


def test_what_lies_where_a_model_computes_goes_with_it_and_the_rest_stays():
    budget = Budget(10**9)
    recent = Recent(budget, heavy=lambda key: key[0] == "prefill")
    for key in (("prefill", "one"), ("prefill", "other"), ("trace", "one")):
        recent.get(key, lambda: of(10))
    budget.forget("one")
    assert recent.keys == [("prefill", "other"), ("trace", "one")]
    budget.forget("")
    assert recent.keys == [("trace", "one")]


@pytest.mark.usefixtures("tiny_page")
def test_runs_beyond_the_budget_leave_no_more_than_it(upload, monkeypatch):
    server.runs.clear()
    server.uploads.clear()
    server.contrasts.clear()
    run(upload(photo(70, 90, seed=50), "0.png"))
    one = server.budget.held
    monkeypatch.setattr(server.budget, "limit", 3 * one)
    keys = [
        run(upload(photo(70, 90, seed=50 + number), f"{number}.png"))[0][0]["run"]
        for number in range(8)
    ]
    assert one < server.budget.held <= 3 * one
    assert "no longer kept" in server.layer([keys[0], 1])["error"] and "rgb" in server.layer(
        [keys[-1], 1]
    )

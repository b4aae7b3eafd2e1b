"""What is kept of earlier runs: bounded in number and in bytes, the least recently used let go
first.
"""

import random
import threading

import numpy as np
import pytest

import vlm
from app import handlers
from app.handlers import answer_attention, answering, contrastive, photos, views
from app.recent import EVERYTHING, VARIABLE, Budget, Recent, allowed
from tests.app.asking import run
from tests.tiny import photo


def of(size: int) -> np.ndarray:
    """An array of so many bytes."""
    return np.zeros(size, np.uint8)


def test_only_the_last_few_values_are_kept():
    recent, made = Recent(2), []
    for key in (1, 2, 1, 3, 1, 2):
        recent.get(key, lambda key=key: made.append(key))
    assert made == [1, 2, 3, 2]


def test_what_was_used_least_recently_goes_first_whichever_cache_it_is_in():
    budget = Budget(300)
    one, other = Recent(budget=budget), Recent(budget=budget)
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
    one, other = Recent(budget=budget), Recent(budget=budget)
    one.get("photo", lambda: shared), other.get("answer", lambda: (shared, of(50)))
    assert budget.held == 250 and len(one) == len(other) == 1
    one.clear()
    assert budget.held == 250  # the answer holds it still
    other.clear()
    assert budget.held == 0


def test_a_value_larger_than_the_budget_is_used_and_not_kept():
    budget = Budget(300)
    recent = Recent(budget=budget)
    recent.get("small", lambda: of(10))
    assert len(recent.get("large", lambda: of(301))) == 301
    assert recent.known("large") is None and recent.known("small") is not None and budget.held == 10


def test_values_made_together_are_kept_within_the_budget():
    budget, asked = Budget(100), []
    recent = Recent(budget=budget)

    def make(keys):
        return [asked.append(key) or of(40) for key in keys]

    assert [len(value) for value in recent.many([1, 2, 3, 1], make)] == [40] * 4
    assert asked == [1, 2, 3] and budget.held == 80
    recent.many([1, 3], make)
    assert asked == [1, 2, 3] and recent.known(2) is None


def test_whatever_many_threads_do_the_bytes_are_those_of_what_is_left():
    budget, shared = Budget(1000), [of(size) for size in range(10, 200, 10)]
    caches = [Recent(20, budget=budget) for _ in range(3)]

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
    assert allowed() == bytes_


@pytest.mark.parametrize("said", ["much", "-1", "nan", "inf", "2 GB"])
def test_an_amount_that_is_none_is_refused_in_one_sentence(monkeypatch, said):
    monkeypatch.setenv(VARIABLE, said)
    with pytest.raises(vlm.VLMError, match=VARIABLE):
        allowed()


def test_every_cache_of_the_page_shares_one_budget():
    caches = [
        value
        for module in (answer_attention, answering, contrastive, photos, views)
        for value in vars(module).values()
        if isinstance(value, Recent)
    ]
    assert len(caches) >= 12 and {cache._budget for cache in caches} == {EVERYTHING}


@pytest.mark.usefixtures("tiny_page")
def test_runs_beyond_the_budget_leave_no_more_than_it(upload, monkeypatch):
    for cache in (
        each
        for module in (answering, photos, views)
        for each in vars(module).values()
        if isinstance(each, Recent)
    ):
        cache.clear()
    run(upload(photo(70, 90, seed=50), "0.png"))
    one = EVERYTHING.held
    monkeypatch.setattr(EVERYTHING, "limit", 3 * one)
    keys = [
        run(upload(photo(70, 90, seed=50 + number), f"{number}.png"))[0][0]["run"]
        for number in range(8)
    ]
    assert one < EVERYTHING.held <= 3 * one
    assert "no longer kept" in handlers.layer([keys[0], 1])["error"] and "rgb" in handlers.layer(
        [keys[-1], 1]
    )

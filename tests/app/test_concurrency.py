"""What the page's script asks for is computed a few at a time; nobody waits for more than that."""

import asyncio
import inspect
import threading

from app.concurrency import AT_ONCE, limit_concurrency
from app.sections.feeds import script_handlers
from tests.app.asking import in_a_thread, server


def test_only_so_many_are_computed_at_once_and_all_are_answered():
    begun, end, inside, most = threading.Semaphore(0), threading.Event(), [], []

    def heavy(number):
        inside.append(number)
        most.append(len(inside))
        begun.release()
        end.wait(30)
        inside.remove(number)
        return 10 * number

    def light(number):
        return -number

    [asked], [quick] = limit_concurrency("long", heavy), limit_concurrency("short", light)

    async def visitors():
        calls = [asyncio.create_task(asked(number)) for number in range(3 * AT_ONCE["long"])]
        for _ in range(AT_ONCE["long"]):
            await asyncio.to_thread(begun.acquire)
        assert await quick(7) == -7  # does not wait for the long ones
        end.set()
        return await asyncio.gather(*calls)

    assert in_a_thread(lambda: asyncio.run(visitors())) == [
        10 * number for number in range(3 * AT_ONCE["long"])
    ]
    assert max(most) == AT_ONCE["long"]
    # another page, another event loop
    assert in_a_thread(lambda: asyncio.run(visitors()))[-1] == 10 * (3 * AT_ONCE["long"] - 1)


def test_the_page_asks_by_the_handlers_own_names():
    handlers = script_handlers(server)
    names = [each.__name__ for each in handlers]
    assert names == [
        "layer",
        "rows",
        "word",
        "lens",
        "lens_rows",
        "word_maps",
        "looked",
        "relevancy",
        "ablation",
    ]
    assert all(each.__wrapped__ == getattr(server, name) for each, name in zip(handlers, names))
    # what Gradio gives them is one list
    assert all([*inspect.signature(each).parameters] == ["arguments"] for each in handlers)

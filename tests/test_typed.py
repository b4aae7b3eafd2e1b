"""The ratchet of types: a room with one error more fails, with fewer it passes."""

import pytest

from tests import typed


def errors(**rooms: int) -> list[dict]:
    """As pyright reports them, with a warning that is no error."""
    told = [
        {"severity": "error", "file": str(typed.ROOT / room / "deep" / "file.py")}
        for room, count in rooms.items()
        for _ in range(count)
    ]
    return [*told, {"severity": "warning", "file": str(typed.ROOT / "app.py")}]


def test_errors_are_counted_by_room():
    assert typed.counted(errors(vlm=3, app=2)) == {"vlm": 3, "app": 2}


@pytest.mark.parametrize(
    ("found", "worse"),
    [({"vlm": 3}, 0), ({"vlm": 2}, 0), ({"vlm": 4}, 1), ({"vlm": 4, "app": 1}, 2)],
)
def test_more_errors_than_allowed_are_told_for_each_room(found, worse):
    assert len(typed.compared(found, {"vlm": 3})) == worse

"""What loads behind the page, and what is kept."""

import pytest

import vlm
from app import models
from tests.app.asking import server


def test_the_status_ends_when_everything_is_there(tiny_page):
    *_, last = server.status()
    assert {job["state"] for job in last["jobs"]} == {"ready"}


def test_a_model_that_cannot_be_loaded_says_why_and_is_tried_again():
    attempts = []

    def make(progress):
        attempts.append(1)
        if len(attempts) == 1:
            raise vlm.FetchError("The cable is out; plug it in.")
        return "model"

    job = models.Background("model", make)
    with pytest.raises(vlm.FetchError, match="plug it in"):
        job.get()
    assert job.status.state == "failed" and job.status.message == "The cable is out; plug it in."
    assert job.get() == "model"

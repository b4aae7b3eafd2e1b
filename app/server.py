"""The server half of one page: every handler, bound to what stands behind the page."""

from .backend import Backend
from .handlers import (
    answer_attention,
    answering,
    contrastive,
    endpoints,
    experiments,
    findings,
    links,
    loading,
    photos,
    second_model,
    take_home,
    token_budget,
    views,
)


class Server(Backend):
    """What the page's events call.

    A handler is a function of its file in `handlers/` whose first argument is the backend; here
    they become methods, one server a page.
    """

    run, reproject = answering.run, answering.reproject
    bring, beside = second_model.bring, second_model.beside
    answer_endpoint = endpoints.answer_endpoint
    trace_endpoint = endpoints.trace_endpoint
    similarity_endpoint = endpoints.similarity_endpoint
    experiment = experiments.experiment
    comparisons, findings = findings.comparisons, findings.findings
    compare, cell = contrastive.compare, contrastive.cell
    restore = links.restore
    arrive, status, choose = loading.arrive, loading.status, loading.choose
    offered, own_settings = loading.offered, loading.own_settings
    at_once, photo_size = photos.at_once, photos.photo_size
    example_photos = photos.example_photos
    offline, tensors = take_home.offline, take_home.tensors
    ledger = token_budget.ledger
    layer, rows, word = views.layer, views.rows, views.word
    lens, lens_rows, word_maps = views.lens, views.lens_rows, views.word_maps
    looked, relevancy = answer_attention.looked, answer_attention.relevancy
    ablation = answer_attention.ablation

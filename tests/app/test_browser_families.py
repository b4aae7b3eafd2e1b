"""The page on families that lay their tokens out differently: merged patches, tiles, row ends,
queries. In a real browser, on tiny models.
"""

from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

import vlm
from app import models
from app.runs import BLOCK
from tests.app.asking import server
from tests.app.browsing import ask, expect, expect_selected, open_view, press_patch
from tests.app.conftest import unpacked
from tests.families import tiny_family, with_rest
from tests.tiny import photo
from vlm.inspect import lens

QUESTION = "What is in this image?"
# each its own photo: nothing is known of it yet
SEEDS = {
    "qwen2_5_vl": 11,
    "smolvlm": 12,
    "llava_next": 13,
    "blip_2": 14,
    "pixtral": 15,
    "fast_vlm": 16,
    "mllama": 17,
    "paligemma": 18,
}
WITH_REST = {"paligemma": 13}  # pixels beyond the last whole patch


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    """`vlm.load` of a tiny checkpoint of a family, once."""
    loaded = {}

    def model(name: str):
        if name not in loaded:
            with with_rest(WITH_REST.get(name, 0)):
                loaded[name] = vlm.load(tiny_family(tmp_path_factory.mktemp(name), name))
        return loaded[name]

    return model


@pytest.fixture
def shown(url, visit, family, tmp_path, monkeypatch):
    """Open the page with a family's model and ask; gives the page and the trace that it shows."""

    @contextmanager
    def window(name: str, beside: Image.Image | None = None):
        """`beside`: a second photo for the same question."""
        model, paths = (
            family(name),
            [tmp_path / "first.png", tmp_path / "second.png"][: 1 + bool(beside)],
        )
        for path, image in zip(paths, (photo(90, 150, seed=SEEDS[name]), beside)):
            image.save(path)
        monkeypatch.setattr(
            server.models, "language", models.Background("language", lambda progress: model)
        )
        with visit(url) as page:
            if beside:
                page.get_by_text("More photos for the same question").click()
                page.set_input_files("#also input[type=file]", paths[1])
                expect(page.locator("#also")).to_contain_text("second")
            ask(page, paths[0], QUESTION)
            yield (
                page,
                model.ask(
                    model.encode_image([vlm.open_image(path) for path in paths], QUESTION), QUESTION
                ),
            )

    return window


def told(page) -> str:
    return page.inner_text("#received .where")


def press_pixel(page, x: float, y: float, width: int, height: int) -> None:
    """Click a pixel of the photo, so large, in the view that shows the photo itself."""
    page.locator("#received [data-view=photo]").click()
    page.wait_for_function(
        "document.querySelector('#received .picture').src === VTE.store.state.record.photo"
    )
    box = page.locator("#received .overlay").bounding_box()
    page.locator("#received .overlay").click(
        position={"x": x / width * box["width"], "y": y / height * box["height"]}
    )


def test_a_token_of_several_patches_gives_that_under_the_pointer_and_steps_through_them(shown):
    with shown("qwen2_5_vl") as (page, trace):
        n, (v, merged) = len(trace.patches.places), trace.visual_tokens.sources.shape
        assert merged == 4 and n == 4 * v
        expect(page.locator("#stage-strip .change:not(:empty)")).to_have_text(f"N {n} → V {v}")
        press_patch(page, 4)
        expect_selected(page, 4)
        sources = trace.visual_tokens.sources[4].tolist()
        assert page.evaluate("VTE.focusPatch()") == sources[0]
        open_view(page, "patches")
        expect(page.locator("#view-patches .steps")).to_contain_text(
            f"patch {sources[0]}, number 1 of the 4 of visual token 4"
        )
        page.get_by_label("the next patch").click()
        page.wait_for_function(
            "patch => VTE.store.state.rows && VTE.store.state.rows.about[0] === patch",
            arg=sources[1],
        )
        np.testing.assert_allclose(
            page.evaluate("Array.from(VTE.store.state.rows.pixels)"),
            trace.patches.pixels[sources[1]],
            atol=1e-6,
        )
        open_view(page, "connector")
        expect(page.locator("#view-connector .made-of")).to_have_text(
            f"Visual token 4 is made of patches {', '.join(map(str, sources))}."
        )
        page.locator("#view-connector .map-frame").first.hover(position={"x": 2, "y": 2})
        expect(page.locator("#view-connector .made-of")).to_contain_text(
            "Visual token 0 is made of"
        )
        # the same token in each of the four maps
        expect(page.locator("#view-connector .mark.hover")).to_have_count(4)


def test_what_fills_no_patch_is_dark_in_the_photo_and_belongs_to_no_token(shown):
    """Of 69 pixels the last 13 are in no patch: the last fifth of the photo's width and height."""
    with shown("paligemma") as (page, trace):
        top, left, bottom, right = trace.patches.boxes[-1]
        assert bottom == pytest.approx(90 * 56 / 69) and right == pytest.approx(150 * 56 / 69)
        press_pixel(page, 147, 40, 150, 90)
        expect_selected(page)
        press_pixel(page, (left + right) / 2, (top + bottom) / 2, 150, 90)
        expect_selected(page, 15)
        page.evaluate("VTE.store.set({ selected: [] })")
        shade = """([x, y]) => {
            const canvas = document.querySelector('#received .overlay');
            const pen = canvas.getContext('2d');
            return pen.getImageData(x / 150 * canvas.width, y / 90 * canvas.height, 1, 1).data[3];
        }"""
        page.mouse.move(1, 1)
        assert page.evaluate(shade, [140, 40]) > 140 and page.evaluate(shade, [60, 84]) > 140
        assert page.evaluate(shade, [46, 28]) < 100
        open_view(page, "photo")
        expect(page.locator("#view-photo .words")).to_contain_text("fill no patch")
        expect(page.locator("#view-photo .lost")).to_have_count(2)


def test_a_rotary_encoder_says_so_and_shows_the_rotation(shown):
    with shown("pixtral") as (page, trace):
        press_patch(page, 6)
        open_view(page, "positions")
        expect(page.locator("#view-positions .view-words").first).to_contain_text(
            "rotary positions"
        )
        expect(page.locator("#view-positions .dials")).to_be_visible()
        np.testing.assert_allclose(
            page.evaluate("Array.from(VTE.store.state.rows.rotation)"),
            trace.encoded_image.rotation[6],
            atol=1e-6,
        )
        expect(page.locator("#view-positions .map:not([hidden])")).to_have_count(1)


def test_a_pixel_of_the_photo_finds_the_tile_that_shows_it_and_the_arrow_keys_cross_the_gap(shown):
    with shown("smolvlm") as (page, trace):
        tiles = [picture for picture in trace.patches.pictures if picture.name.startswith("tile")]
        assert len(tiles) > 1 and len(trace.patches.pictures) == len(tiles) + 1
        x, y = 0.9 * trace.image.width, 0.1 * trace.image.height
        press_pixel(page, x, y, trace.image.width, trace.image.height)
        token, patch = page.evaluate("[VTE.store.focus(), VTE.focusPatch()]")
        (top, left, bottom, right), picture = (
            trace.visual_tokens.boxes[token],
            trace.patches.pictures[trace.patches.places[patch, 0]],
        )
        assert (
            top <= y < bottom
            and left <= x < right
            and picture in tiles
            and patch in trace.visual_tokens.sources[token]
        )
        expect(page.locator("#received .where")).to_contain_text(picture.name)
        page.locator("#received [data-view=received]").click()
        page.focus("#received .overlay")
        names = []
        for _ in range(6):
            page.keyboard.press("ArrowLeft")
            page.evaluate("new Promise(requestAnimationFrame)")
            names.append(told(page).partition(" of tile ")[2][:4])
        assert picture.name.removeprefix("tile ")[:4] in names and len(set(names)) > 1
        for name in ("encoder", "connector", "space", "sequence"):
            open_view(page, name)
        expect_selected(page, page.evaluate("VTE.store.focus()"))


def test_a_token_that_ends_a_row_and_a_patch_of_the_margin_say_what_they_are(shown):
    with shown("llava_next") as (page, trace):
        newline = trace.visual_tokens.kinds.index("newline")
        press_patch(page, newline)
        expect_selected(page, newline)
        expect(page.locator("#inspector .where")).to_contain_text("a newline token")
        # a token, but no pixels and no features
        expect(page.locator("#inspector .numbers tbody tr")).to_have_count(1)
        open_view(page, "patches")
        expect(page.locator("#view-patches .hint")).to_contain_text("is a newline token")
        open_view(page, "sequence")
        expect(page.locator("#view-sequence .told")).to_contain_text("a newline token")
        unused = sorted(
            set(range(len(trace.patches.places)))
            - set(trace.visual_tokens.sources.ravel().tolist())
        )
        assert unused
        cell, rows, columns = page.evaluate(
            "patch => { const { cells, rows, columns } = VTE.store.state.record; return"
            " [cells[patch], rows, columns]; }",
            unused[0],
        )
        box = page.locator("#received .overlay").bounding_box()
        page.locator("#received .overlay").click(
            position={
                "x": (cell % columns + 0.5) * box["width"] / columns,
                "y": (cell // columns + 0.5) * box["height"] / rows,
            }
        )
        expect_selected(page)
        expect(page.locator("#inspector .where")).to_contain_text(f"patch {unused[0]} ·")
        expect(page.locator("#inspector .where")).to_contain_text(
            "in the margin that was added around the photo · no visual token is made of it"
        )


def test_queries_stand_on_a_shelf_and_say_that_they_have_no_place(shown):
    with shown("blip_2") as (page, trace):
        count = len(trace.visual_tokens.kinds)
        expect(page.locator("#received .shelf")).to_have_text(
            f"Below: {count} tokens that have no place in the photo."
        )
        press_patch(page, count - 1)
        expect_selected(page, count - 1)
        expect(page.locator("#inspector .where")).to_contain_text(
            "a query token: a learned question to the whole photo; it has no place of its own"
        )
        open_view(page, "connector")
        expect(page.locator("#view-connector .merge")).to_contain_text(
            f"{count} learned queries each read all {len(trace.patches.places)} patches"
        )
        open_view(page, "encoder")
        expect(page.locator("#view-encoder .hint")).to_contain_text("is a query token")
        open_view(page, "space")
        page.locator("#view-space .colour").select_option("position")
        expect(page.locator("#view-space .key")).to_contain_text("grey without a place")
        press_patch(page, 0, "#received .overlay")
        expect_selected(page, 0)
        # the language model adds positions to what goes in; the embedding lens reads the visual
        # token itself
        model, entering = (
            server.models.language.get(),
            server.lens([page.evaluate("VTE.store.state.record.run"), 0])["entering"],
        )
        [[*near]], [[*later]] = (
            lens.embedding_lens(model.network, model.processor.tokenizer, rows, 4)
            for rows in (
                trace.visual_tokens.embeddings[:1],
                model.inspect(trace).hidden_states()[0, trace.visual_tokens.positions[:1]],
            )
        )
        assert (
            entering
            == [[word, round(cosine, 4)] for word, cosine in near]
            != [[word, round(cosine, 4)] for word, cosine in later]
        )


def test_two_photos_of_one_question_stand_side_by_side(shown):
    second = photo(70, 60, seed=77)
    with shown("smolvlm", second) as (page, trace):
        photos, boxes = trace.visual_tokens.photos, trace.visual_tokens.boxes
        assert set(photos.tolist()) == {0, 1}
        assert (
            page.evaluate("VTE.store.state.record.prompt.filter(part => typeof part === 'number')")
            == np.bincount(photos).tolist()
        )
        # of the second photo the token that is nearest to its middle, among those of its tiles
        names = [
            trace.patches.pictures[picture].name
            for picture in trace.patches.places[trace.visual_tokens.sources[:, 0], 0]
        ]
        middle = np.abs((boxes[:, :2] + boxes[:, 2:]) / 2 - [35, 30]).sum(1)
        token = min(
            (
                token
                for token, photo in enumerate(photos)
                if photo and names[token].startswith("tile")
            ),
            key=lambda token: middle[token],
        )
        top, left, bottom, right = boxes[token]
        offset, width = page.evaluate(
            "[VTE.store.state.record.photos[1].left, VTE.store.state.record.photo_size[1]]"
        )
        press_pixel(page, offset + (left + right) / 2, (top + bottom) / 2, width, 90)
        expect_selected(page, token)
        expect(page.locator("#inspector .where")).to_contain_text(f"photo 2, pixels {left:.0f}")
        expect(page.locator("#inspector .where")).to_contain_text("of photo 2, tile")


def test_tokens_beside_the_sequence_are_shown_beside_it(shown):
    with shown("mllama") as (page, trace):
        assert trace.visual_tokens.positions is None
        count, cls = len(trace.visual_tokens.kinds), trace.visual_tokens.kinds.index("class")
        expect(page.locator("#answer .prompt")).to_contain_text(f"{count} visual tokens, beside it")
        open_view(page, "sequence")
        expect(page.locator("#view-sequence .ribbon")).to_contain_text(
            "beside it, read by cross-attention"
        )
        expect(page.locator("#view-sequence .told")).to_contain_text(
            "the picture takes no position of the sequence"
        )
        press_patch(page, cls)
        expect_selected(page, cls)
        expect(page.locator("#view-sequence .told")).to_contain_text(
            "the encoder’s own position for a whole picture (CLS)"
        )
        open_view(page, "lens")
        expect(page.locator("#view-lens .hint")).to_contain_text("cross-attention")
        entering = trace.visual_tokens.embeddings[cls : cls + 1]
        model = server.models.language.get()
        [[(_, cosine), *_]] = lens.embedding_lens(
            model.network, model.processor.tokenizer, entering, 5
        )
        expect(page.locator("#view-lens .entering li").first).to_contain_text(f"{cosine:.2f}")
        expect(page.locator("#view-lens .says")).to_be_hidden()
        page.locator("#view-lens [data-part=table]").click()
        expect(page.locator("#view-lens .hint")).to_contain_text("cross-attention")
        steps = list(server.models.language.get().decode(trace, vlm.Decoding(max_new_tokens=3)))
        page.locator("#answer .token").nth(1).hover()
        page.wait_for_function(
            "VTE.store.state.overlay && VTE.store.state.overlay.from === 'answer'"
        )
        # in float16
        np.testing.assert_allclose(
            page.evaluate("Array.from(VTE.store.state.overlay.values)"),
            steps[1].beside.mean(0),
            rtol=1e-3,
        )
        assert "mean of the cross-attention layers" in page.evaluate(
            "VTE.store.state.overlay.label"
        )
        open_view(page, "looked")
        expect(page.locator("#view-looked .hint")).to_contain_text(
            "by cross-attention, beside the sequence"
        )
        looked = server.models.language.get().inspect(trace.with_steps(steps)).answer_attention()
        expect(page.locator("#view-looked .heads .small:visible")).to_have_count(
            looked.layers[0].query.shape[1]
        )
        expect(page.locator("#view-looked .text-row")).to_be_hidden()
        about, tokens = (
            (page.evaluate("VTE.store.state.answer.key"), 0),
            slice(-len(trace.visual_tokens.kinds), None),
        )
        answered = trace.with_steps(steps)
        for shown_values, expected in (
            (
                server.relevancy([*about])["values"],
                server.models.language.get().inspect(answered).relevancy(0),
            ),
            (server.looked([*about, 0])["rollout"], looked.rollout(0)),
        ):
            np.testing.assert_allclose(
                unpacked(shown_values), expected[tokens], rtol=1e-4, atol=1e-7
            )
        expect(page.locator("#view-looked .shares")).to_contain_text(
            "By relevancy the picture’s share is"
        )
        page.click("#experiments .sweep")
        expect(page.locator("#experiments [data-swept=true]")).to_be_attached()
        expect(page.locator("#experiments .heat tbody tr")).to_have_count(len(vlm.PATHS))


def test_the_lens_table_shows_what_is_in_sight_whatever_is_on_its_way(shown):
    """136 rows: those in sight do not wait for others; the next run's table begins at its top."""
    hold = """() => {
      const ask = window.fetch, box = document.querySelector('#view-lens .window');
      window.held = []; window.most = 0;
      let flying = 0;
      window.fetch = (url, options) => {
        if (!String(url).includes('component_server')) return ask(url, options);
        const { fn_name: name, data: about } = JSON.parse(options.body);
        const block = about[1] - about[1] % BLOCK;
        const height = box.querySelector('tbody tr[data-token]').clientHeight;
        const below = block * height > box.scrollTop + box.clientHeight;
        const above = (block + BLOCK) * height < box.scrollTop;
        const away = name === 'lens_rows' && (below || above);
        window.most = Math.max(window.most, ++flying);
        return away
          ? (window.held.push(block), new Promise(() => {}))
          : ask(url, options).finally(() => flying--);
      };
    }"""
    filled = (
        "() => { const cells = [...document.querySelectorAll('#view-lens tr[data-token] td')];"
        " return cells.length && !cells.some(cell => cell.classList.contains('blank')); }"
    )
    with shown("llava_next") as (page, trace):
        last = len(trace.visual_tokens.kinds) - 1
        page.evaluate(hold.replace("BLOCK", str(BLOCK)))
        open_view(page, "lens")
        page.locator("#view-lens [data-part=table]").click()
        page.wait_for_function(filled)
        # the others come one block at a time, and this one never does
        page.wait_for_function("window.held.length === 1")
        assert page.locator(f"#view-lens tr[data-token='{last}']").count() == 0
        page.evaluate("""async () => {
          const box = document.querySelector('#view-lens .window');
          for (let step = 1; step <= 20; step++) {
            box.scrollTop = step / 20 * box.scrollHeight;
            await new Promise(requestAnimationFrame);
          }
        }""")  # what is passed on the way is not asked for all at once
        expect(page.locator(f"#view-lens tr[data-token='{last}']")).to_be_attached()
        page.wait_for_function(filled)
        assert 1 < page.evaluate("window.most") <= 3
        # the next run's table begins at its top when it is seen
        page.locator("#view-lens [data-part=token]").click()
        page.fill("#question textarea", "What is this?")
        page.press("#question textarea", "Enter")
        page.wait_for_function(
            "VTE.store.state.record.question === 'What is this?' && VTE.store.state.words"
        )
        page.locator("#view-lens [data-part=table]").click()
        expect(page.locator("#view-lens tr[data-token='0']")).to_be_attached()
        page.wait_for_function("document.querySelector('#view-lens .window').scrollTop === 0")
        page.evaluate(
            "() => { const box = document.querySelector('#view-lens .window'); box.scrollTop ="
            " box.scrollHeight; }"
        )
        expect(page.locator(f"#view-lens tr[data-token='{last}']")).to_be_attached()
        open_view(page, "space")
        page.fill("#question textarea", "And this?")
        page.press("#question textarea", "Enter")
        page.wait_for_function(
            "VTE.store.state.record.question === 'And this?' && VTE.store.state.words"
        )
        press_patch(page, 70)
        page.wait_for_function("VTE.store.state.selected.length")
        token = page.evaluate("VTE.store.focus()")
        open_view(page, "lens")  # or at the token that is selected
        expect(page.locator(f"#view-lens tr[data-token='{token}'].on")).to_be_in_viewport()


def test_an_encoder_of_convolutions_is_told_no_positions_and_has_no_attention(shown):
    with shown("fast_vlm") as (page, _):
        press_patch(page, 3)
        open_view(page, "positions")
        expect(page.locator("#view-positions .head")).to_contain_text("told no positions")
        # the pixels, and nothing made of them alone
        expect(page.locator("#view-positions .strip-row")).to_have_count(1)
        open_view(page, "encoder")
        expect(page.locator("#view-encoder .hint")).not_to_be_empty()
        expect(page.locator("#view-encoder .which")).to_have_text("its output")

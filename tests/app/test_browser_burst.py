"""On a busy machine a run may be over before the browser has read that it was accepted: then all
that it tells comes at once.
"""

from tests.app.asking import server
from tests.app.browsing import expect

LATE = """(() => {
const fetched = window.fetch;
window.fetch = async (...asked) => {
  const response = await fetched(...asked);
  const url = asked[0].url || asked[0];
  if (/queue.join/.test(url) && /all at once/.test(asked[1].body))
    await new Promise(go => { window.accepted = go; });
  if (/queue.data/.test(url))
    response.clone().text().catch(() => '').then(() => { window.told = true; });
  return response;
};
})()"""


def test_what_comes_all_at_once_is_shown_like_what_comes_one_by_one(url, visit, picture):
    with visit(url) as page:
        page.wait_for_function("window.VTE && VTE.store")
        page.evaluate(LATE)
        page.set_input_files("#photo input[type=file]", picture)
        expect(page.locator("#photo img").first).to_be_visible()
        server.models.answered.clear()
        page.fill("#question textarea", "What comes all at once?")
        page.press("#question textarea", "Enter")
        assert server.models.answered.wait(60)
        page.wait_for_function("Boolean(window.accepted)")
        page.evaluate("told = false")
        page.click("#ledger-count")  # its stream brings what the run told
        page.wait_for_function("told")
        page.evaluate("accepted()")
        expect(page.locator("#answer [data-finished=true]")).to_be_attached()
        page.wait_for_function(
            "VTE.store.state.record && VTE.store.state.plane && VTE.store.state.words"
        )

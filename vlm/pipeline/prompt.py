"""The prompt: a question in the model's own chat template, with one mark a photo.

A template is a program that came with the checkpoint. Whatever it does wrong becomes one sentence
that names the file it stands in.
"""

from dataclasses import dataclass

from jinja2.exceptions import TemplateError, TemplateSyntaxError

from vlm.backends import architecture
from vlm.backends.compat import ensure_torchvision
from vlm.errors import ModelError

ensure_torchvision()

from transformers import PreTrainedModel, ProcessorMixin

# what the expressions of a template raise on a value they were not written for
UNRENDERABLE = (TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
REPLACE = (
    "replace it with one that takes a list of {'type': 'image'} and {'type': 'text', 'text': ...}"
)


@dataclass(frozen=True)
class ChatTemplate:
    """A chat template and the setting that it stands in."""

    text: str
    source: str


def find_template(processor: ProcessorMixin, words: str | None) -> ChatTemplate | None:
    """The chat template of a checkpoint: its processor's, else the one that only its tokenizer has;
    None if there is none.

    Args:
        words: around a question in families that were trained without a template. Their tokenizer's
            template, if it has one, is that of the text model they were made from, and not used.
    """
    own = _default(processor.chat_template)
    if own:
        return ChatTemplate(own, "chat_template.jinja, or chat_template.json")
    if words is not None:
        return None
    text = _default(getattr(processor.tokenizer, "chat_template", None))
    return ChatTemplate(text, "chat_template in tokenizer_config.json") if text else None


def _default(template: str | dict[str, str] | None) -> str | None:
    """The template of that name, where there are several."""
    return template.get("default") if isinstance(template, dict) else template


def render_prompt(
    model: PreTrainedModel, processor: ProcessorMixin, question: str, photos: int = 1
) -> str:
    """Put the question into the model's own chat template, with one mark a photo.

    Without a template in the words that its family was trained with.

    Raises:
        ModelError: neither is known, or the template cannot be rendered or leaves the question out.
    """
    words = architecture.family(model).prompt
    template = find_template(processor, words)
    if template is None and words is None:
        raise ModelError(
            "This checkpoint has no chat template, so the prompt it was trained with is unknown;"
            " add chat_template.jinja to its folder."
        )
    if template is None:
        return words.format(question=question)
    prompt = _render(processor, template, question, photos)
    if question not in prompt and prompt == _render(processor, template, question + "?", photos):
        raise ModelError(
            f"The chat template of this checkpoint ({template.source}) leaves the question out;"
            " correct it so that it writes the text of each {'type': 'text'}."
        )
    return prompt


def _render(processor: ProcessorMixin, template: ChatTemplate, question: str, photos: int) -> str:
    content = [*[{"type": "image"}] * photos, {"type": "text", "text": question}]
    try:
        return processor.apply_chat_template(
            [{"role": "user", "content": content}],
            chat_template=template.text,
            add_generation_prompt=True,
            tokenize=False,
        )
    except UNRENDERABLE as error:
        line = f" in line {error.lineno}" if isinstance(error, TemplateSyntaxError) else ""
        said = (str(error).splitlines() or [""])[0][:160].rstrip(".")
        raise ModelError(
            f"The chat template of this checkpoint ({template.source}) cannot be rendered for a"
            f" photo and a question: {type(error).__name__}{line}, {said}; {REPLACE}."
        ) from error


def explain_marks(
    words: str | None, processor: ProcessorMixin, prompt: str, photos: int
) -> ModelError | None:
    """What is wrong with a template that does not write one mark for each photo; None if it does,
    or if this family's photos need no mark.
    """
    template, mark = find_template(processor, words), getattr(processor, "image_token", None)
    if template is None or mark is None or prompt.count(str(mark)) == photos:
        return None
    return ModelError(
        f"The chat template of this checkpoint ({template.source}) writes the image mark"
        f" {str(mark)!r} {prompt.count(str(mark))} times for {photos} photo{'s' * (photos > 1)};"
        " correct it so that it writes one for each {'type': 'image'}."
    )

"""Stages 2 and 3: the connector m_gamma on a frozen language model, then both together through LoRA
adapters.

The visual encoder never runs here: its output comes from the cache. Both stages minimise the mean
negative log-likelihood of the answers' tokens given the photo and the question.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as functional
from jaxtyping import Float
from torch import Tensor, nn

from vlm.training.mixing import Mixture
from vlm.training.packing import Batch, Pack, batch

log = logging.getLogger(__name__)

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
# linear maps that get an adapter
TARGETS = {"attention": ATTENTION, "more": (*ATTENTION, "up_proj", "down_proj")}
# what a checkpoint must agree on to be gone on from
SAVED_WITH = ("seed", "rank", "targets", "stage")


@dataclass(frozen=True)
class Settings:
    """What decides a run.

    Learning rates are constant after a warm-up and fall to zero over the last `cooldown` steps.
    """

    steps: int
    stage: str = "instruct"  # or "connector": the language model stays as it is
    seed: int = 0
    tokens: int = 1000  # positions a step
    sides: Mapping[int, float] = field(default_factory=lambda: {4: 0.35, 8: 0.55, 16: 0.10})
    connector_rate: float = 1e-3
    language_rate: float = 4e-4
    warmup: int = 20
    cooldown: int = 200
    rank: int = 16
    alpha: int = 32
    targets: tuple[str, ...] = ATTENTION
    averaging: float = 0.995  # of the exponential average of the weights that is handed over
    save_every: int = 50


def rate_factor(step: int, settings: Settings) -> float:
    """The share of the full learning rate at `step`."""
    rise = (step + 1) / settings.warmup if settings.warmup else 1.0
    fall = (settings.steps - step) / settings.cooldown if settings.cooldown else 1.0
    return max(0.0, min(1.0, rise, fall))


def new_connector(width: int, hidden: int) -> nn.Sequential:
    """Linear(F, D) -> GELU -> Linear(D, D), small enough at first for the language model not to
    notice.
    """
    connector = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, hidden))
    nn.init.normal_(connector[0].weight, std=width**-0.5)
    nn.init.normal_(connector[2].weight, std=0.3 * hidden**-0.5 * 0.1)
    return connector


class Learner(nn.Module):
    """A connector and a language model that answer packed questions about cached features."""

    def __init__(
        self,
        language_model,
        connector: nn.Module,
        mean: Float[Tensor, "F"],
        spread: Float[Tensor, "F"],
        settings: Settings,
    ):
        super().__init__()
        language_model.requires_grad_(False)
        # with a mask, a quicker backward on CPUs than sdpa's
        language_model.set_attn_implementation("eager")
        self.settings = settings
        if settings.stage == "instruct":
            from peft import LoraConfig, get_peft_model

            torch.manual_seed(settings.seed)
            lora = LoraConfig(
                r=settings.rank, lora_alpha=settings.alpha, target_modules=list(settings.targets)
            )
            language_model = get_peft_model(language_model, lora, autocast_adapter_dtype=False)
        self.language_model = language_model
        self.connector = connector
        self.register_buffer("mean", mean)
        self.register_buffer("spread", spread)

    @property
    def trunk(self):
        """The transformer without its head."""
        causal = (
            self.language_model.base_model.model
            if self.settings.stage == "instruct"
            else self.language_model
        )
        return causal.model

    def trained(self) -> dict[str, nn.Parameter]:
        """List the parameters that learn, by their names."""
        return {
            name: parameter
            for name, parameter in self.named_parameters()
            if parameter.requires_grad
        }

    def connect(self, features: Float[Tensor, "V F"]) -> Float[Tensor, "V D"]:
        """Standardise patch features, V x F, and map them to visual tokens, V x D."""
        return self.connector((features - self.mean) / self.spread)

    def outputs(self, features: Float[Tensor, "V F"], batch: Batch) -> Float[Tensor, "K D"]:
        """The hidden states that predict the batch's targets.

        `features` has the visual tokens of all its photos in order.
        """
        embedding = self.language_model.get_input_embeddings()
        inputs_embeds = embedding(batch.ids)
        inputs_embeds = inputs_embeds.masked_scatter(
            batch.visual[..., None], self.connect(features).to(inputs_embeds.dtype)
        )
        hidden = self.trunk(
            inputs_embeds=inputs_embeds,
            attention_mask=batch.mask,
            position_ids=batch.positions,
            use_cache=False,
        ).last_hidden_state
        return hidden[batch.rows, batch.sources]

    def losses(self, features: Float[Tensor, "V F"], batch: Batch) -> Float[Tensor, "K"]:
        """-log p of each target token."""
        logits = functional.linear(
            self.outputs(features, batch), self.language_model.get_input_embeddings().weight
        )
        return functional.cross_entropy(logits.float(), batch.targets, reduction="none")


def warm_start(
    learner: Learner,
    pairs: list[tuple[Callable[[], Tensor], list[int]]],
    steps: int = 200,
    size: int = 48,
    seed: int = 0,
) -> float:
    """Regress the mean visual token of a photo on the mean input embedding of its texts' content
    words; the last loss.

    `pairs`: a function that gives pooled features (V x F), and the token ids of the words. It saves
    the first hundreds of steps of connector training, which would find little more than this.
    """
    import random

    chance = random.Random(seed)
    table = learner.language_model.get_input_embeddings().weight.float()
    centre = table.mean(0)
    optimizer = torch.optim.AdamW(learner.connector.parameters(), lr=2e-3)
    value = float("nan")
    for _ in range(steps):
        chosen = chance.sample(pairs, min(size, len(pairs)))
        goal = torch.stack([table[torch.tensor(ids)].mean(0) - centre for _, ids in chosen]) * 2
        given = torch.stack([learner.connect(features()).mean(0) for features, _ in chosen])
        loss = functional.mse_loss(given, goal) / goal.pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        value = loss.item()
    return value


@dataclass
class Run:
    """The state of a training run: everything a checkpoint holds."""

    learner: Learner
    settings: Settings
    step: int = 0
    samples: int = 0
    loss: float | None = None  # running mean

    def __post_init__(self):
        named = self.learner.trained()
        # a bfloat16 adapter would lose small steps: the optimizer works on float32 copies
        self.masters = {
            name: (
                parameter
                if parameter.dtype == torch.float32
                else parameter.detach().float().requires_grad_(True)
            )
            for name, parameter in named.items()
        }
        language = [
            master for name, master in self.masters.items() if not name.startswith("connector.")
        ]
        connector = [
            master for name, master in self.masters.items() if name.startswith("connector.")
        ]
        groups = [{"params": connector, "rate": self.settings.connector_rate}]
        if language:
            groups.append({"params": language, "rate": self.settings.language_rate})
        self.optimizer = torch.optim.AdamW(groups, lr=0.0, weight_decay=0.01, betas=(0.9, 0.98))
        self.average = {name: master.detach().clone() for name, master in self.masters.items()}

    def advance(self, mixture: Mixture) -> float:
        """One optimizer step; the step's mean loss."""
        packs, visual = mixture.step(self.step, self.settings.sides, self.settings.tokens)
        self.learner.train()
        targets, value = sum(len(one.targets) for one in packs), 0.0
        for some in alike(packs):
            together = move(
                batch([packs[index] for index in some], self.learner.language_model.dtype),
                self.learner.mean.device,
            )
            features = torch.cat([visual[index] for index in some]).to(self.learner.mean.device)
            loss = self.learner.losses(features, together).sum() / targets
            loss.backward()
            value += loss.item()
        for name, parameter in self.learner.trained().items():
            master = self.masters[name]
            if master is not parameter:
                master.grad, parameter.grad = parameter.grad.float(), None
        nn.utils.clip_grad_norm_(list(self.masters.values()), 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = group["rate"] * rate_factor(self.step, self.settings)
        self.optimizer.step()
        self.optimizer.zero_grad()
        weight = max(1 - self.settings.averaging, 1 / (self.step + 2))
        with torch.no_grad():
            for name, parameter in self.learner.trained().items():
                if self.masters[name] is not parameter:
                    parameter.copy_(self.masters[name])
                self.average[name].lerp_(self.masters[name].detach(), weight)
        self.step += 1
        self.samples += sum(pack.answers for pack in packs)
        self.loss = value if self.loss is None else 0.98 * self.loss + 0.02 * value
        return value

    def state(self) -> dict:
        """Gather all that a checkpoint has to hold to resume the run."""
        return {
            "settings": {name: getattr(self.settings, name) for name in SAVED_WITH},
            "step": self.step,
            "samples": self.samples,
            "loss": self.loss,
            "masters": {name: master.detach() for name, master in self.masters.items()},
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
            "mean": self.learner.mean,
            "spread": self.learner.spread,
        }

    def restore(self, state: dict) -> None:
        """Go on from `state`.

        Raises:
            ValueError: the checkpoint is of another kind of run.
        """
        here = {name: getattr(self.settings, name) for name in SAVED_WITH}
        if state["settings"] != here:
            raise ValueError(
                f"the checkpoint was made with {state['settings']}, this run has {here}"
            )
        self.step, self.samples, self.loss = state["step"], state["samples"], state["loss"]
        with torch.no_grad():
            for name, parameter in self.learner.trained().items():
                self.masters[name].copy_(state["masters"][name])
                parameter.copy_(self.masters[name])
                self.average[name].copy_(state["average"][name])
        rates = [group["rate"] for group in self.optimizer.param_groups]
        self.optimizer.load_state_dict(state["optimizer"])
        for group, rate in zip(self.optimizer.param_groups, rates):
            group["rate"] = rate

    def parts(self) -> dict[str, Tensor]:
        """The averaged weights under the names of the parts file."""
        from vlm.training.parts import fold

        copy = new_connector(*reversed(self.learner.connector[0].weight.shape))
        copy.load_state_dict(
            {
                name.removeprefix("connector."): value.cpu()
                for name, value in self.average.items()
                if name.startswith("connector.")
            }
        )
        tensors = fold(copy, self.learner.mean.cpu(), self.learner.spread.cpu())
        for name, value in self.average.items():
            # language_model.base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight
            if ".lora_" in name:
                tensors[
                    name.removeprefix("language_model.base_model.model.").removesuffix(
                        ".default.weight"
                    )
                ] = value.to(torch.bfloat16)
        return tensors


def alike(packs: Sequence[Pack], size: int = 4) -> list[list[int]]:
    """Indices of packs of about the same length in groups of at most `size`, so that little is
    padded.
    """
    order = sorted(range(len(packs)), key=lambda index: len(packs[index].ids))
    return [order[start : start + size] for start in range(0, len(order), size)]


def move(batch: Batch, device: torch.device) -> Batch:
    """Move every tensor of a batch to a device."""
    return Batch(**{name: getattr(batch, name).to(device) for name in batch.__dataclass_fields__})


def train(
    run: Run,
    mixture: Mixture,
    checkpoint: Path | None = None,
    report: Callable[[Run, float], None] | None = None,
) -> None:
    """Advance to the last step, saving `checkpoint` now and then.

    `report(run, seconds since the start)` after each step.
    """
    started = time.monotonic()
    while run.step < run.settings.steps:
        run.advance(mixture)
        if checkpoint and (
            run.step % run.settings.save_every == 0 or run.step == run.settings.steps
        ):
            save(run, checkpoint)
        if report:
            report(run, time.monotonic() - started)


def save(run: Run, checkpoint: Path) -> None:
    """Whole or not at all."""
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    temporary = checkpoint.with_suffix(".part")
    torch.save(run.state(), temporary)
    temporary.replace(checkpoint)
